/**
 * One coarse timer for all requests of a worker: first-token, stall, total and slow-reader limits are checked every 100 ms
 * instead of by a timer each. Limits are seconds, so the coarseness does not matter; thousands of timers per second would.
 */
import type { Clock } from '../../base/clock.ts';
import { IndexedList, type ListItem } from '../../base/indexed-list.ts';

export interface Watched extends ListItem {
  /** Called at each sweep with the monotonic time. */
  onSweep(nowMs: number): void;
}

const SWEEP_MS = 100;

export class DeadlineSweep<Item extends Watched = Watched> {
  readonly #clock: Clock;
  readonly #watched = new IndexedList<Item>();
  #timer: NodeJS.Timeout | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(watched: Item): void {
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  remove(watched: Item): void {
    this.#watched.remove(watched);
  }

  /** A copy: whoever looks may end some of them. */
  all(): Item[] {
    const all: Item[] = [];
    this.#watched.forEach((watched) => void all.push(watched));
    return all;
  }

  #sweep(): void {
    const now = this.#clock.monotonicMs();
    this.#watched.forEach((watched) => {
      watched.onSweep(now);
    });
    // Not when the last one left: at a moderate load that would be one timer for each request again.
    if (this.#watched.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
