/**
 * The recovery policy as planes use it: every default filled in, every class of fault with its ladder. `auto-recovery.yaml` is
 * its written form (recovery-policy-schema.ts).
 */
import type { FaultClass } from './faults.ts';
import type { Remedy } from './remedies.ts';

/** `unknown`: something is wrong, and no class is likely. */
export type PolicyClass = FaultClass | 'unknown';

export interface LadderStep {
  remedy: Remedy;
  /** Incidents of the class, within `ladderWindowMs`, that are answered with this step before the next one is taken; at least 1. */
  times: number;
}

export interface RecoveryStrategy {
  /** From the mildest; the last step is stayed on. At least one. */
  ladder: readonly LadderStep[];
  /** Between the finding and the first remedy; for restarts, before the start that follows. */
  delayMs: number;
}

export const MONITORED_METRICS = [
  'gpu_memory',
  'gpu_utilization',
  'gpu_health',
  'cpu_load',
  'host_memory',
  'request_queue',
  'kv_cache',
  'progress',
  'latency',
  'error_rate',
  'processes',
  'logs',
  'kernel_log',
  'containers',
] as const;
export type MonitoredMetric = (typeof MONITORED_METRICS)[number];

export interface MonitoringPolicy {
  /** Between two looks at a replica. Default 2 s. */
  intervalMs: number;
  /** What is looked at beside the progress of requests, which always is. Default: all. */
  metrics: readonly MonitoredMetric[];
  /** CPU above `cpuRatio` of one core for `cpuForMs` is an anomaly. Default 0.9, 30 s. */
  cpuRatio: number;
  cpuForMs: number;
  /** Least time without a step before a hang is considered. Default 4 s. */
  hangFloorMs: number;
  /** The same where the speed of reading prompts was never measured. Default 120 s. */
  hangUnmeasuredMs: number;
}

export interface RecoveryPolicy {
  /** False: faults are found, diagnosed and told, and nothing but the restart after an exit is done. */
  automatic: boolean;
  monitoring: MonitoringPolicy;
  /** Least confidence of a diagnosis that leads to a remedy which takes a replica out of rotation. Default 0.7. */
  confidenceMin: number;
  /** Replicas of a pool that stay in rotation whatever is found; the last one is never taken out while it still answers. Default 1. */
  floor: number;
  /** How long a remedy may take until its canary has passed; then the next step is taken. Default 60 s. */
  verifyMs: number;
  /** Within it, a further incident of the same class climbs the ladder. Default 10 min. */
  ladderWindowMs: number;
  /** Environment of `fallback_path`. Default NCCL_P2P_DISABLE=1. */
  fallbackEnv: Readonly<Record<string, string>>;
  strategies: Readonly<Record<PolicyClass, RecoveryStrategy>>;
}
