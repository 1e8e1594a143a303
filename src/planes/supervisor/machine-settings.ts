/** The numbers of the machine, made from those that the configuration has and defaults for the rest. */
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';
import { DEFAULT_RECOVERY_SETTINGS, type RecoverySettings } from '../../decide/recovery/recovery-settings.ts';
import type { SupervisorSettings } from './supervisor-options.ts';

/** A replica that was ready for a very short backoff only has not shown that it is stable. */
const STABLE_MS_MIN = 1_000;

export function recoverySettings(settings: SupervisorSettings, policy: RecoveryPolicy): RecoverySettings {
  const { backoffInitialMs, backoffMaxMs, termGraceMs, ...same } = settings;
  const defaults = DEFAULT_RECOVERY_SETTINGS;
  return {
    ...defaults,
    restartsMax: same.restartsMax,
    restartWindowMs: same.restartWindowMs,
    backoff: { ...defaults.backoff, initialMs: backoffInitialMs, maxMs: backoffMaxMs },
    stableAfterMs: Math.max(backoffMaxMs, STABLE_MS_MIN),
    probeIntervalMs: same.probeIntervalMs,
    probeTimeoutMs: same.probeTimeoutMs,
    probeFailuresMax: same.probeFailuresMax,
    drainTimeoutMs: same.drainTimeoutMs,
    termGraceMs: termGraceMs ?? defaults.termGraceMs,
    policy,
  };
}

/** The longest that it may take until every engine has ended. */
export function longestEndMs(settings: RecoverySettings): number {
  const { drainTimeoutMs, termGraceMs, killRetryMs, spawnTimeoutMs } = settings;
  return Math.max(drainTimeoutMs, spawnTimeoutMs) + termGraceMs + 2 * killRetryMs;
}
