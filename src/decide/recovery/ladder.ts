/**
 * Which remedy comes next: the ladder of the class, from the step that its tries have reached, without the steps that make no
 * sense here. Every refusal has its reason, and the reasons are told with the choice.
 */
import type { FaultClass } from '../../contract/faults.ts';
import type { LadderStep, PolicyClass, RecoveryPolicy } from '../../contract/recovery-policy.ts';
import { REMEDIES, type Remedy } from '../../contract/remedies.ts';
import type { Replica } from './replica.ts';

/** What is known when a remedy is chosen. */
export interface Situation {
  class: PolicyClass;
  confidence: number;
  /** The process is gone already: what would be done to a living one makes no sense. */
  gone: boolean;
  /** Remedies of the class that were tried lately. */
  tries: number;
  /** Others of the pool that are in rotation. */
  othersReady: number;
  /** A standby of the pool is loaded and healthy. */
  standbyReady: boolean;
  /** A list of spare devices that nobody of the pool uses; null: none. */
  spareDevice: number | null;
}

export interface Choice {
  remedy: Remedy;
  /** Of the ladder, from 1. */
  step: number;
  /** Steps that were left out, and why. */
  skipped: readonly string[];
}

/** The engine makes progress all the same: taking it out costs what it still does. */
const STILL_SERVES: ReadonlySet<PolicyClass> = new Set<FaultClass>([
  'busy',
  'frontend-starved',
  'kv-exhausted',
  'straggler',
  'stream-stall',
  'empty-success',
  'slow-start',
  'ready-too-early',
  'leaked-slots',
  'gateway-fault',
  'host-out-of-memory',
]);

export function stillServes(fault: PolicyClass): boolean {
  return STILL_SERVES.has(fault);
}

/** Null: no step of the ladder can be taken. */
export function chooseStep(policy: RecoveryPolicy, replica: Replica, situation: Situation): Choice | null {
  const { ladder } = policy.strategies[situation.class];
  const skipped: string[] = [];
  for (let index = reachedStep(ladder, situation.tries); index < ladder.length; index++) {
    const { remedy } = ladder[index] as LadderStep;
    const refusal = whyNot(policy, replica, remedy, situation);
    if (refusal === null) return { remedy, step: index + 1, skipped };
    skipped.push(`not ${remedy}: ${refusal}`);
  }
  return null;
}

/** The last step is stayed on. */
function reachedStep(ladder: readonly LadderStep[], tries: number): number {
  let left = tries;
  for (const [index, { times }] of ladder.entries()) {
    if (left < times) return index;
    left -= times;
  }
  return ladder.length - 1;
}

function whyNot(
  policy: RecoveryPolicy,
  replica: Replica,
  remedy: Remedy,
  situation: Situation,
): string | null {
  const { means, managed } = replica.spec;
  const { endsProcess, outOfRotation } = REMEDIES[remedy];
  if (situation.gone) {
    if (!endsProcess) return 'its process has ended';
  } else {
    if (!managed && endsProcess) return 'it runs elsewhere';
    if ((outOfRotation || remedy === 'shed_load') && situation.confidence < policy.confidenceMin)
      return `the diagnosis is sure to ${percent(situation.confidence)}, and ${percent(policy.confidenceMin)} are asked for`;
    if (outOfRotation && stillServes(situation.class) && situation.othersReady < policy.floor)
      return `it still answers, and ${situation.othersReady} others are ready`;
  }
  switch (remedy) {
    case 'abort_request':
      return means.abort ? null : 'the engine has no call that ends requests';
    case 'clear_queue_and_reset':
      return means.abort || means.clearCaches ? null : 'the engine has no call for it';
    case 'clear_caches':
      return means.clearCaches ? null : 'the engine has no call for it';
    case 'restart_safer':
      return replica.adjustment.saferSteps < means.saferSteps ? null : 'no safer step is left';
    case 'fallback_path':
      return replica.adjustment.fallbackPath ? 'it is on the fallback path already' : null;
    case 'rebuild_elsewhere':
      return situation.spareDevice === null ? 'no spare device is free' : null;
    case 'move_to_standby':
      return situation.standbyReady ? null : 'no standby is ready';
    case 'drain':
    case 'safe_shutdown':
      return situation.othersReady >= policy.floor ? null : 'no other replica is ready';
    case 'shed_load':
      return means.window * replica.windowShare > 1 ? null : 'it takes one request at a time already';
    default:
      return null;
  }
}

function percent(ratio: number): string {
  return `${Math.round(ratio * 100)} %`;
}
