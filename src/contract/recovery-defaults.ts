/**
 * The recovery policy of who writes none: a ladder for each class of fault. The remedies are those of `todo` in faults.ts; where a
 * step makes no sense at an incident (no spare device, the process is gone) the next one is taken. docs/auto-recovery.md shows the
 * table.
 */
import {
  type LadderStep,
  MONITORED_METRICS,
  type PolicyClass,
  type RecoveryPolicy,
  type RecoveryStrategy,
} from './recovery-policy.ts';
import type { Remedy } from './remedies.ts';

const step = (remedy: Remedy, times = 1): LadderStep => ({ remedy, times });

const quarantine = step('quarantine');
const restart = (times: number) => step('restart_process', times);
/** Halves the batch, takes less memory, halves the context: as many steps as are derived. */
const safer = step('restart_safer', 3);

/** A ladder that ends in a restart goes on with it: `supervisor.restarts_max` is the bound then. */
const LADDERS: Record<PolicyClass, readonly LadderStep[]> = {
  'engine-core-dead': [restart(3), safer, quarantine],
  'clean-exit-after-fatal': [restart(3), safer, quarantine],
  'cuda-sticky-error': [restart(2), step('rebuild_elsewhere', 2), quarantine],
  'gpu-out-of-memory': [restart(1), safer, quarantine],
  // No loop: each start is another configuration, and there are few of them.
  'no-memory-at-start': [safer, quarantine],
  'host-out-of-memory': [step('shed_load'), restart(1), safer, quarantine],
  'killed-from-outside': [restart(1)],
  'collective-timeout': [restart(1), step('fallback_path'), step('rebuild_elsewhere', 2), quarantine],
  'engine-rpc-timeout': [restart(2), step('rebuild_elsewhere', 2), quarantine],
  'shared-memory-heartbeat': [restart(3), quarantine],
  hung: [restart(3), step('rebuild_elsewhere'), step('move_to_standby'), quarantine],
  // The requests are at fault, not the engine: it is restarted when nothing else ends the wait, and not put away for it.
  'head-of-line-deadlock': [step('abort_request', 2), step('clear_queue_and_reset'), restart(1)],
  'watchdog-timeout': [restart(2), safer, quarantine],
  'child-dead': [restart(3), safer, quarantine],
  'slot-wedge': [restart(3), step('move_to_standby'), quarantine],
  busy: [step('observe')],
  'frontend-starved': [step('shed_load', 4), step('page')],
  // The remedy ends what was left behind, too, and waits for the memory; a restart of the engine alone would not help.
  'orphan-holds-gpu': [restart(3), step('rebuild_elsewhere', 2), quarantine],
  'gpu-lost': [step('rebuild_elsewhere', 4), step('move_to_standby'), quarantine],
  'driver-not-ready': [quarantine],
  'network-transient': [restart(2), step('fallback_path'), step('rebuild_elsewhere', 2), quarantine],
  'shared-memory-too-small': [quarantine],
  'kv-exhausted': [step('shed_load', 4), step('page')],
  // The request is at fault: it is isolated, and the engine comes back.
  'poison-request': [restart(1)],
  'stream-stall': [step('observe')],
  'leaked-slots': [step('clear_queue_and_reset', 2), restart(1)],
  'corrupt-output': [restart(1), step('rebuild_elsewhere', 2), quarantine],
  'slow-start': [step('observe')],
  'ready-too-early': [step('observe')],
  'bad-configuration': [quarantine],
  straggler: [step('shed_load', 3), step('page')],
  'empty-success': [step('observe', 3), step('page')],
  'dead-parallel-rank': [restart(3), step('rebuild_elsewhere', 2), quarantine],
  'kv-connector-stall': [step('abort_request'), step('clear_queue_and_reset'), restart(3), quarantine],
  'gateway-fault': [step('page')],
  // An engine that lives is not ended for what nobody understands: people are told. One that ended is started again, and when it
  // goes on so, it is shut down while others of its pool serve; without others it is started again.
  unknown: [restart(10), step('safe_shutdown'), step('page')],
};

const DEFAULT_STRATEGIES = Object.fromEntries(
  Object.entries(LADDERS).map(([name, ladder]): [string, RecoveryStrategy] => [name, { ladder, delayMs: 0 }]),
) as Record<PolicyClass, RecoveryStrategy>;

export const POLICY_CLASSES = Object.keys(LADDERS) as PolicyClass[];

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
  strategies: DEFAULT_STRATEGIES,
};
