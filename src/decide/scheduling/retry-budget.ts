/**
 * A budget of retries by rate, shared by the workers of a gateway: each request pays in a share of a retry, each retry takes a
 * whole one. A budget by requests in flight alone (retry.ts) does not hold when engines refuse within milliseconds: hardly
 * anything is in flight then, and the few retries that are always allowed are used over and over.
 *
 * Invariant: over any span, retries <= ratio x requests + SAVED_MAX, but for one each RESERVE_S while there are no others, so
 * that a gateway with little traffic may retry at all. Cells: how much of SAVED_MAX is spent, in thousandths of a retry | time
 * of the last retry, s. So a gateway begins with all that calm times save up.
 */
const WHOLE = 1_000;
/** Retries that calm times save up. */
const SAVED_MAX = 10;
/** What is paid in against the ratio; the rest makes up for what was saved. */
const PAID_RATIO = 0.95;
/** After so long without any retry one is allowed whatever the balance. */
const RESERVE_S = 3;

export const RETRY_BUDGET_CELLS = 2;

export class RetryBudget {
  readonly #cells: Int32Array;

  /** @param cells RETRY_BUDGET_CELLS zeros, in shared memory. */
  constructor(cells: Int32Array) {
    this.#cells = cells;
  }

  /** A request begins its first attempt. */
  requestStarted(ratio: number): void {
    const paid = Math.round(ratio * PAID_RATIO * WHOLE);
    for (;;) {
      const spent = Atomics.load(this.#cells, 0);
      const next = Math.max(0, spent - paid);
      if (next === spent || Atomics.compareExchange(this.#cells, 0, spent, next) === spent) return;
    }
  }

  /** Takes one retry. `nowMs` is on one clock for all workers. */
  tryRetry(nowMs: number): boolean {
    const now = Math.max(1, Math.floor(nowMs / 1_000)) | 0;
    for (;;) {
      const spent = Atomics.load(this.#cells, 0);
      if (spent + WHOLE > SAVED_MAX * WHOLE) break;
      if (Atomics.compareExchange(this.#cells, 0, spent, spent + WHOLE) !== spent) continue;
      Atomics.store(this.#cells, 1, now);
      return true;
    }
    const last = Atomics.load(this.#cells, 1);
    if (last !== 0 && now - last < RESERVE_S) return false;
    return Atomics.compareExchange(this.#cells, 1, last, now) === last;
  }
}
