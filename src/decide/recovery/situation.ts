/** What is around a replica when a remedy is chosen for it. */
import type { PolicyClass } from '../../contract/recovery-policy.ts';
import type { Draft } from './draft.ts';
import { triesOf } from './incident.ts';
import type { Situation } from './ladder.ts';
import { type Replica, stateOf } from './replica.ts';

const CONFIDENCE_BY_RECURRENCE = 0.1;

export function situationOf(
  draft: Draft,
  replica: Replica,
  found: { class: PolicyClass; confidence: number; gone: boolean },
): Situation {
  const { policy } = draft.settings;
  const pool = poolOf(draft, replica);
  const others = pool.filter(({ spec }) => spec.id !== replica.spec.id);
  const tries = triesOf(replica, found.class, draft.nowMs - policy.ladderWindowMs);
  return {
    ...found,
    // That it came again after what was done about it speaks for it.
    confidence: Math.min(1, found.confidence + tries * CONFIDENCE_BY_RECURRENCE),
    tries,
    othersReady: others.filter((other) => stateOf(other) === 'ready').length,
    standbyReady: others.some((other) => stateOf(other) === 'standby'),
    spareDevice: spareDevice(replica, others),
  };
}

/** Replicas that shall be there, of ours or watched. */
export function poolOf({ state }: Draft, { spec }: Replica): Replica[] {
  return Object.values(state.replicas).filter(
    (other) => other.spec.pool === spec.pool && !other.stray && other.goal.kind !== 'remove',
  );
}

/** The next list after the one it is on that no other replica of the pool uses. */
function spareDevice({ spec, adjustment }: Replica, others: readonly Replica[]): number | null {
  const used = new Set(others.map((other) => other.adjustment.device));
  for (let device = adjustment.device + 1; device <= spec.means.spareDevices; device++)
    if (!used.has(device)) return device;
  return null;
}
