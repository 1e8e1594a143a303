/**
 * Replicas that are slower than their peers get less, in proportion, before clients notice: one bad GPU, a throttled host. The
 * measure is the time between tokens (a step of the engine), smoothed by whoever reports it; a slow pool has no stragglers.
 */

/** Replicas with a known step time from which on they can be compared. */
const PEERS_MIN = 3;
/** A replica is slow from this many times the median on. */
const SLOW_RATIO = 1.5;
/** The least share that slowness leaves: it must go on being measured. */
const STRAGGLER_SHARE_MIN = 0.2;

/**
 * Fills `shares` with 1, or with median / own step time where a replica is slow.
 * @param stepMs NaN: unknown.
 */
export function stragglerShares(stepMs: Float64Array, count: number, shares: Float64Array): void {
  const known: number[] = [];
  for (let index = 0; index < count; index++) {
    shares[index] = 1;
    if (stepMs[index]! > 0) known.push(stepMs[index]!);
  }
  if (known.length < PEERS_MIN) return;
  known.sort((a, b) => a - b);
  const median = known[(known.length - 1) >> 1]!;
  for (let index = 0; index < count; index++) {
    const own = stepMs[index]!;
    if (own > median * SLOW_RATIO) shares[index] = Math.max(STRAGGLER_SHARE_MIN, median / own);
  }
}
