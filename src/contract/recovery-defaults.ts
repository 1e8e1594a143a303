/** The recovery policy of who writes none: a ladder for each class of fault. */
import { FAULT_CLASSES } from './faults.ts';
import {
  type LadderStep,
  MONITORED_METRICS,
  type PolicyClass,
  type RecoveryPolicy,
  type RecoveryStrategy,
} from './recovery-policy.ts';

const restart: LadderStep[] = [
  { remedy: 'restart_process', times: 3 },
  { remedy: 'quarantine', times: 1 },
];
const special: Partial<Record<PolicyClass, LadderStep[]>> = {
  unknown: [{ remedy: 'restart_process', times: 1000 }],
  busy: [{ remedy: 'observe', times: 1 }],
};
const strategies = Object.fromEntries(
  [...FAULT_CLASSES, 'unknown' as const].map((name): [PolicyClass, RecoveryStrategy] => [
    name,
    { ladder: special[name] ?? restart, delayMs: 0 },
  ]),
) as Record<PolicyClass, RecoveryStrategy>;

export const DEFAULT_RECOVERY_POLICY: RecoveryPolicy = {
  automatic: true,
  monitoring: {
    intervalMs: 2_000,
    metrics: MONITORED_METRICS,
    cpuRatio: 0.9,
    cpuForMs: 30_000,
    hangFloorMs: 4_000,
    hangUnmeasuredMs: 120_000,
  },
  confidenceMin: 0.7,
  floor: 1,
  verifyMs: 60_000,
  ladderWindowMs: 600_000,
  fallbackEnv: { NCCL_P2P_DISABLE: '1' },
  strategies,
};
