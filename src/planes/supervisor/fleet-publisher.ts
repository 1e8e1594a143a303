/**
 * Hands new views of the fleet down. A change that decides about traffic goes at once; when only the reason of a replica that
 * is not ready has changed, which people read and nobody routes by, one view a second is enough.
 */
import type { FleetSnapshot } from '../../contract/fleet.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import { stateOf } from '../../decide/recovery/replica.ts';

export const REASON_INTERVAL_MS = 1_000;

export interface FleetPublisherParts {
  state(): FleetState;
  view(): FleetSnapshot;
  onFleet(fleet: FleetSnapshot): void;
}

export class FleetPublisher {
  readonly #parts: FleetPublisherParts;
  /** While a former run is being taken up, gateways keep what they know. */
  #isOpen = false;
  #published = '';
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: FleetPublisherParts) {
    this.#parts = parts;
  }

  open(): void {
    this.#isOpen = true;
    this.publish();
  }

  publish(): void {
    if (!this.#isOpen) return;
    this.#published = reasonsOf(this.#parts.state());
    this.#parts.onFleet(this.#parts.view());
  }

  /** Called after each step of the machine. */
  checkReasons(): void {
    if (!this.#isOpen || this.#timer !== null || reasonsOf(this.#parts.state()) === this.#published) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // What was published meanwhile may have said it already.
      if (reasonsOf(this.#parts.state()) !== this.#published) this.publish();
    }, REASON_INTERVAL_MS);
  }

  close(): void {
    this.#isOpen = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function reasonsOf({ replicas }: FleetState): string {
  let text = '';
  for (const id in replicas) {
    const replica = replicas[id];
    if (replica !== undefined && stateOf(replica) !== 'ready') text += `${id} ${replica.reason}\n`;
  }
  return text;
}
