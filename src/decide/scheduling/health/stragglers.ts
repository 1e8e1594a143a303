/**
 * Replicas that need longer for a token than their peers get less, in proportion, before clients notice: one bad GPU, a
 * throttled host. A straggler is slower than its peers by more than one standard deviation of theirs and by more than a tenth
 * (engines.md, fault 31); a pool that is slow as a whole has none. Who calls it compares only what is configured alike.
 */

/** Peers with a known step time that a comparison needs. */
const PEERS_MIN = 2;
/** Times the mean of its peers from which on a replica is slow. */
const SLOW_RATIO = 1.1;
/** A straggler is one until it is nearer than that, so that noise at the border does not turn it back and forth. */
const BACK_RATIO = 1.05;
/** The least share that slowness leaves: it must go on being measured. */
const STRAGGLER_SHARE_MIN = 0.2;

/**
 * Fills `shares` with 1, or with mean of the peers / own step time where a replica is slow.
 * @param stepMs NaN: unknown.
 * @param shares what was found before; below 1: it was a straggler then.
 */
export function stragglerShares(stepMs: Float64Array, count: number, shares: Float64Array): void {
  let known = 0;
  let sum = 0;
  let squares = 0;
  for (let index = 0; index < count; index++) {
    const own = stepMs[index]!;
    if (!(own > 0)) continue;
    known++;
    sum += own;
    squares += own * own;
  }
  for (let index = 0; index < count; index++) {
    const own = stepMs[index]!;
    const wasSlow = shares[index]! < 1;
    shares[index] = 1;
    const peers = known - 1;
    if (!(own > 0) || peers < PEERS_MIN) continue;
    const mean = (sum - own) / peers;
    const sigma = Math.sqrt(Math.max(0, (squares - own * own) / peers - mean * mean));
    const isSlow = wasSlow ? own > mean * BACK_RATIO : own > mean * SLOW_RATIO && own > mean + sigma;
    if (isSlow) shares[index] = Math.max(STRAGGLER_SHARE_MIN, mean / own);
  }
}
