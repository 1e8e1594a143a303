/**
 * Remedies that make no sense for a class of fault, each with the reason: a policy that names one is refused, since the ladder
 * would leave the step out at each incident, or do harm.
 */
import { FAULTS, type FaultClass } from '../../contract/faults.ts';
import type { LadderStep, PolicyClass } from '../../contract/recovery-policy.ts';
import { REMEDIES, type Remedy } from '../../contract/remedies.ts';

/** The engine works, or the fault is not on its side: ending it costs what it still does. */
const NEVER_ENDED: ReadonlySet<PolicyClass> = new Set<FaultClass>([
  'busy',
  'frontend-starved',
  'kv-exhausted',
  'stream-stall',
  'slow-start',
  'ready-too-early',
  'gateway-fault',
]);

/** The process has ended, or can do nothing more. */
const ALWAYS_GONE: ReadonlySet<PolicyClass> = new Set<FaultClass>([
  'engine-core-dead',
  'clean-exit-after-fatal',
  'cuda-sticky-error',
  'no-memory-at-start',
  'killed-from-outside',
  'orphan-holds-gpu',
  'driver-not-ready',
  'shared-memory-too-small',
  'poison-request',
  'bad-configuration',
]);

/** The same start ends the same way, each time: a loop. */
const NEVER_RESTARTED: ReadonlySet<PolicyClass> = new Set<FaultClass>([
  'driver-not-ready',
  'shared-memory-too-small',
  'bad-configuration',
  'no-memory-at-start',
]);

/** The remedy ends what holds the memory as well, which is what helps. */
const RESTART_ENDS_CAUSE: ReadonlySet<PolicyClass> = new Set<FaultClass>(['orphan-holds-gpu']);

/** Null: it makes sense. `before`: the steps that come first. */
export function senseless(fault: PolicyClass, remedy: Remedy, before: readonly LadderStep[]): string | null {
  if (fault === 'unknown') return null;
  const { meaning, todo, restartHelps } = FAULTS[fault];
  const { endsProcess } = REMEDIES[remedy];
  if (endsProcess && NEVER_ENDED.has(fault))
    return `an engine is never ended for it, because ${meaning}; what helps: ${todo}`;
  if (!endsProcess && ALWAYS_GONE.has(fault))
    return `there is no living engine left that it could be done to: ${meaning}; \`restart_process\` starts it again, \`quarantine\` leaves it down and tells people`;
  if (remedy !== 'restart_process' || restartHelps || RESTART_ENDS_CAUSE.has(fault)) return null;
  if (NEVER_RESTARTED.has(fault)) return `a restart does not help, it would be a loop: ${meaning}; ${todo}`;
  const triedMore = before.some((step) => step.remedy !== 'observe' && step.remedy !== 'page');
  return triedMore ? null : `a restart alone does not help, because ${meaning}; first: ${todo}`;
}
