/**
 * How many replicas of a pool may be ejected at once. When most look bad, it is more likely that the gateway or the network is
 * wrong, and a few that are flooded are worse than many of which some fail (Envoy's panic threshold).
 */
import type { ReplicaState } from '../../../contract/fleet.ts';

/** Share of a pool that may be ejected. */
const EJECTED_RATIO_MAX = 0.5;

/** Replicas that must go on taking traffic; never less than one. */
export function servingFloor(replicas: number): number {
  return Math.max(1, replicas - Math.floor(replicas * EJECTED_RATIO_MAX));
}

/**
 * @param replicas of the pool that are ready, or are kept out by health alone.
 * @param serving of them those that take traffic freely, the one to be ejected included.
 */
export function mayEject(replicas: number, serving: number): boolean {
  return serving - 1 >= servingFloor(replicas);
}

/**
 * Whether those whose health probes are only late must go on taking traffic, because too few others do. Those that are ill count
 * as replicas of the pool; those that are being started or stopped do not.
 */
export function needsLate(replicas: readonly { state: ReplicaState; late?: boolean | undefined }[]): boolean {
  const ready = replicas.filter(({ state }) => state === 'ready').length;
  const unready = replicas.filter(({ state }) => state === 'unready');
  return unready.some(({ late }) => late === true) && ready < servingFloor(ready + unready.length);
}
