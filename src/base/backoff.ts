/**
 * Exponential backoff with jitter, as a pure function of the attempt and one random draw.
 */
export interface BackoffPolicy {
  /** Delay before the first retry. */
  initialMs: number;
  /** Ceiling of the delay, jitter included. */
  maxMs: number;
  /** Share of the delay that jitter may add or remove; 0.2 means ±20 %. */
  jitterRatio: number;
}

/** Delay in milliseconds before retry number `attempt` (0 is the first). `draw` is in [0, 1). */
export function backoffMs(policy: BackoffPolicy, attempt: number, draw: number): number {
  const plain = Math.min(policy.maxMs, policy.initialMs * 2 ** Math.min(attempt, 30));
  return Math.min(policy.maxMs, Math.round(plain * (1 + policy.jitterRatio * (2 * draw - 1))));
}
