/**
 * What people ask of the supervisor, and the answers: what was accepted, and by name what was not. The machine does the rest.
 */
import type { ActionResult } from '../../contract/admin-api.ts';
import type { ReplicaState } from '../../contract/fleet.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import { type PoolRestart, planPoolRestart } from '../../decide/recovery/pool-restart.ts';
import type { RecoveryEvent } from '../../decide/recovery/recovery-event.ts';
import { type Replica, stateOf } from '../../decide/recovery/replica.ts';
import type { SupervisedModel } from './supervisor-options.ts';

export interface CommandParts {
  state: FleetState;
  models: readonly SupervisedModel[];
  /** Replicas that people may name. */
  known: readonly string[];
  deliver(event: RecoveryEvent): void;
}

/** There is nothing in them that could finish first. */
const WITHOUT_PROCESS: readonly ReplicaState[] = ['stopped', 'backing-off', 'quarantined'];

const ENDING: ActionResult = { ok: false, message: 'the platform is being stopped' };

export function drainReplica(parts: CommandParts, id: string): ActionResult {
  return command(parts, id, ({ goal }) => {
    parts.deliver({ type: 'drainRequested', replica: id });
    const message =
      goal.kind === 'remove'
        ? `${id} is being taken out: it finishes what runs and goes`
        : `${id} finishes what runs, then stops and stays stopped`;
    return { ok: true, message };
  });
}

export function restartReplica(parts: CommandParts, id: string): ActionResult {
  return command(parts, id, (replica) => {
    const { spec, goal } = replica;
    const state = stateOf(replica);
    if (goal.kind === 'remove') return { ok: false, message: `${id} ${LEAVING}` };
    if (!spec.managed && goal.kind !== 'stop')
      return { ok: false, message: `replica "${id}" runs elsewhere and ${WATCHED}` };
    parts.deliver({ type: 'restartRequested', replica: id });
    const message = spec.managed
      ? WITHOUT_PROCESS.includes(state)
        ? `${id} was ${state} and starts again now`
        : `${id} finishes what runs, then starts again`
      : `${id} is back in rotation as soon as its probes pass`;
    return { ok: true, message };
  });
}

export function restartPool(parts: CommandParts, pool: string): ActionResult {
  const { state, models, deliver } = parts;
  const model = models.find(({ modelName }) => modelName === pool);
  if (model === undefined) {
    const known = models.map(({ modelName }) => modelName).join(', ');
    return { ok: false, message: `unknown pool "${pool}"; known: ${known}` };
  }
  if (state.ending !== null) return ENDING;
  const plan = planPoolRestart(state, pool);
  if (plan.roll.length > 0 || plan.return.length > 0)
    deliver({ type: 'rollingRestartRequested', pool, because: 'on request' });
  const ok = plan.roll.length + plan.return.length + plan.underWay.length > 0;
  return { ok, message: `pool "${pool}": ${poolText(plan, model.urls === undefined)}` };
}

const WATCHED = 'is watched only; restart it where it runs';
const LEAVING = 'is being taken out and does not come back';

function poolText(plan: PoolRestart, isManaged: boolean): string {
  const comesBack = isManaged ? 'was drained and starts now' : 'was drained and is back in rotation soon';
  const parts = [
    say(plan.return, comesBack),
    say(plan.roll, plan.roll.length === 1 ? 'restarts' : 'restart one at a time'),
    say(plan.underWay, 'is being started already'),
    say(plan.elsewhere, `runs elsewhere and ${WATCHED}`),
    say(plan.leaving, LEAVING),
  ].filter((part) => part !== null);
  return parts.join('; ') || 'it has no replicas';
}

function say(ids: readonly string[], what: string): string | null {
  return ids.length === 0 ? null : `${ids.join(', ')} ${what}`;
}

function command(
  { state, known }: CommandParts,
  id: string,
  order: (replica: Replica) => ActionResult,
): ActionResult {
  const replica = state.replicas[id];
  if (replica === undefined || !known.includes(id))
    return { ok: false, message: `unknown replica "${id}"; known: ${known.join(', ')}` };
  return state.ending === null ? order(replica) : ENDING;
}
