/**
 * The scale-out signal of a pool, as a metric for an autoscaler: demand against what the replicas that serve can take. 1 is
 * exactly as much as they should carry; above it more are needed.
 */
export interface PoolLoad {
  inFlight: number;
  queued: number;
  /** Requests refused since the last look, which would have waited. */
  refused: number;
  /** Replicas that serve, and the sum of their windows. */
  replicas: number;
  windows: number;
}

/** Share of their windows that replicas should carry, so that a burst and the loss of one find room. */
const UTILISATION_TARGET = 0.8;

export function scaleOutRatio({ inFlight, queued, refused, windows }: PoolLoad): number {
  const demand = inFlight + queued + refused;
  if (windows <= 0) return demand > 0 ? Number.POSITIVE_INFINITY : 0;
  return demand / (windows * UTILISATION_TARGET);
}

/** Replicas that would carry the demand at the target; never below 1. */
export function replicasWanted(load: PoolLoad): number {
  if (load.replicas === 0) return 1;
  return Math.max(1, Math.ceil(load.replicas * scaleOutRatio(load) - 1e-9));
}
