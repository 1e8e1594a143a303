/**
 * Hot standby: replicas that are loaded and take no traffic. When one of the pool that takes traffic is lost, a standby takes its
 * place in the same step; what was lost comes back as the standby. Roles change, names do not.
 */
import type { Draft } from './draft.ts';
import { type Replica, stateOf } from './replica.ts';
import { poolOf } from './situation.ts';

/** After each step that touched a replica. */
export function promoteStandbys(draft: Draft): void {
  if (draft.state.ending !== null) return;
  const pools = new Set<string>();
  for (const replica of draft.touched) {
    if (pools.has(replica.spec.pool)) continue;
    pools.add(replica.spec.pool);
    promoteIn(draft, poolOf(draft, replica));
  }
}

function promoteIn(draft: Draft, pool: readonly Replica[]): void {
  const ready = pool.filter((replica) => stateOf(replica) === 'standby');
  if (ready.length === 0) return;
  const lost = pool.filter(isLost);
  for (const [index, { spec }] of ready.entries()) {
    const former = lost[index];
    if (former === undefined) return;
    const standby = draft.replica(spec.id);
    const replaced = draft.replica(former.spec.id);
    if (standby === undefined || replaced === undefined) return;
    replaced.standby = true;
    replaced.unwritten = replaced.spec.managed;
    draft.promote(standby, `takes the place of ${former.spec.id}: ${former.reason}`);
  }
}

/** It takes no traffic though it should, and will not for a while. */
function isLost({ standby, spec, goal, phase }: Replica): boolean {
  if (standby || !spec.managed) return false;
  if (goal.kind === 'fail' || goal.kind === 'quarantine') return true;
  switch (phase.name) {
    case 'waiting':
    case 'quarantined':
    case 'mending':
      return true;
    case 'recording':
      return phase.afterFailure;
    case 'ailing':
      return !phase.late;
    default:
      return false;
  }
}
