/**
 * Asks gateways what is in flight, as long as a replica drains. What they do not say is unknown and not passed on: a drain
 * ends early only when every gateway has answered.
 */
import type { Clock } from '../../base/clock.ts';
import type { Replica } from '../../decide/recovery/replica.ts';
import type { SupervisorOptions } from './supervisor-options.ts';

export interface DrainWatchParts extends Pick<SupervisorOptions, 'collectInFlight' | 'log'> {
  clock: Clock;
  /** Replicas that drain now. */
  draining(): Replica[];
  report(replicaId: string, count: number): void;
}

const ASK_INTERVAL_MS = 200;

export class DrainWatch {
  readonly #parts: DrainWatchParts;
  #asking = false;
  #closed = false;

  constructor(parts: DrainWatchParts) {
    this.#parts = parts;
  }

  /** Called after each step of the machine. */
  check(): void {
    if (!this.#asking && this.#parts.draining().length > 0) void this.#ask();
  }

  close(): void {
    this.#closed = true;
  }

  async #ask(): Promise<void> {
    const { clock, draining } = this.#parts;
    this.#asking = true;
    while (!this.#closed && draining().length > 0) {
      await clock.sleep(ASK_INTERVAL_MS);
      await this.#askOnce();
    }
    this.#asking = false;
  }

  async #askOnce(): Promise<void> {
    const { draining, collectInFlight, report, log } = this.#parts;
    // An answer belongs to drains that had begun when it was asked for.
    const asked = new Set(draining().map(({ phase }) => phase));
    try {
      const counts = await collectInFlight();
      for (const { spec, phase } of draining()) {
        const count = counts[spec.id];
        if (count !== undefined && asked.has(phase) && !this.#closed) report(spec.id, count);
      }
    } catch (error) {
      log('warn', 'gateways could not be asked what is in flight', { error: String(error) });
    }
  }
}
