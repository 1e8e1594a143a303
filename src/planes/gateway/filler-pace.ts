/**
 * Watches how fast clients are answered, alone and beside filler, and sets the ceiling of filler of each replica for all
 * workers (decide/scheduling/filler-ceiling.ts). A few additions per answer of a client.
 */
import type { Clock } from '../../base/clock.ts';
import { type CeilingState, newCeiling, observePace } from '../../decide/scheduling/filler-ceiling.ts';
import type { ReplicaEntry } from './fleet-table.ts';
import type { SharedState } from './shared-state.ts';

export interface ClientAnswer {
  replica: ReplicaEntry;
  serviceMs: number;
  /** Filler on the replica when the answer was begun. */
  fillerBefore: number;
  /** Streams are measured by bytes, whole answers by tokens; the two are never compared. */
  kind: 'stream' | 'whole';
  units: number;
}

interface Watched {
  generation: number;
  states: Record<ClientAnswer['kind'], CeilingState>;
}

export class FillerPace {
  readonly #shared: SharedState;
  readonly #clock: Clock;
  readonly #watched = new Map<number, Watched>();

  constructor(shared: SharedState, clock: Clock) {
    this.#shared = shared;
    this.#clock = clock;
  }

  observe({ replica, serviceMs, fillerBefore, kind, units }: ClientAnswer): void {
    const { slot, view } = replica;
    let watched = this.#watched.get(slot);
    // What was measured of another process, or of another replica in this slot, says nothing.
    if (watched?.generation !== view.generation) {
      watched = { generation: view.generation, states: { stream: newCeiling(), whole: newCeiling() } };
      this.#watched.set(slot, watched);
    }
    const before = watched.states[kind];
    const shared = this.#shared.fillerCeiling(slot);
    const filler = Math.max(fillerBefore, this.#shared.fillerInFlight(slot));
    const sample = { nowMs: this.#clock.wallMs(), serviceMs, units, filler };
    const after = observePace(shared === 0 ? before : { ...before, ceiling: shared }, sample, view.window);
    watched.states[kind] = after;
    if (filler === 0) return;
    if (after.ceiling !== shared) this.#shared.setFillerCeiling(slot, after.ceiling);
    if (after.listenUntilMs !== before.listenUntilMs) this.#shared.listen(slot, after.listenUntilMs);
  }
}
