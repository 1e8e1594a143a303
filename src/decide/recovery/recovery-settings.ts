/** The numbers of the recovery machine. Spans in milliseconds; all finite. */
import type { BackoffPolicy } from '../../base/backoff.ts';
import { DEFAULT_RECOVERY_POLICY } from '../../contract/recovery-defaults.ts';
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';

export interface RecoverySettings {
  /** Unasked restarts of one replica that any window of `restartWindowMs` may hold; one more failure means quarantine. */
  restartsMax: number;
  restartWindowMs: number;
  backoff: BackoffPolicy;
  /** A replica that stayed ready for so long starts its backoff from the beginning. */
  stableAfterMs: number;
  /** Between health probes of a replica that takes traffic. */
  probeIntervalMs: number;
  probeTimeoutMs: number;
  /** For the one-token generation, which waits behind real requests. */
  generationTimeoutMs: number;
  /** Failed probes in a row before a replica leaves rotation. */
  probeFailuresMax: number;
  /** Least time between two probes that gateways ask for by their failed attempts. */
  reprobeMs: number;
  /** Longest drain. */
  drainTimeoutMs: number;
  /** A drain lasts at least so long: gateways must hear of it before "nothing in flight" means anything. */
  settleMs: number;
  /** Between SIGTERM and SIGKILL. */
  termGraceMs: number;
  /** Between two SIGKILLs at a process that does not go. */
  killRetryMs: number;
  /** A spawn that could not be carried out for so long must not be carried out any more. */
  spawnTimeoutMs: number;
  /** How long after its own deadline an effect may still be answered. */
  answerSlackMs: number;
  /** For effects that touch only this machine: signals, searches, records. */
  localTimeoutMs: number;
  /** Longest that taking evidence may hold up the end of a process. */
  captureMs: number;
  /** Load that was shed comes back in steps, each after so long without a fault. */
  growMs: number;
  policy: RecoveryPolicy;
}

export const DEFAULT_RECOVERY_SETTINGS: RecoverySettings = {
  restartsMax: 5,
  restartWindowMs: 60_000,
  backoff: { initialMs: 500, maxMs: 30_000, jitterRatio: 0.2 },
  stableAfterMs: 30_000,
  probeIntervalMs: 5_000,
  probeTimeoutMs: 2_000,
  generationTimeoutMs: 30_000,
  probeFailuresMax: 3,
  reprobeMs: 250,
  drainTimeoutMs: 30_000,
  settleMs: 300,
  termGraceMs: 10_000,
  killRetryMs: 5_000,
  spawnTimeoutMs: 30_000,
  answerSlackMs: 1_000,
  localTimeoutMs: 5_000,
  captureMs: 800,
  growMs: 30_000,
  policy: DEFAULT_RECOVERY_POLICY,
};
