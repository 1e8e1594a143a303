/**
 * Restarts of a pool, one replica at a time. Invariant: a replica that takes traffic is taken out only while the others of
 * its pool keep `max(1, ready - 1)` ready; a pool of one has no others and is restarted all the same.
 */
import { restart } from './commands.ts';
import type { Draft } from './draft.ts';
import { end } from './ending.ts';
import { serve } from './entering.ts';
import { spanText } from './failing.ts';
import type { Rolling } from './fleet-state.ts';
import { planPoolRestart } from './pool-restart.ts';
import { type Replica, stateOf } from './replica.ts';
import { start } from './start.ts';

/** Adds replicas to the rolling restart of a pool; begins one when there is none. `returning`: so many more will be ready. */
export function queueRolling(
  draft: Draft,
  pool: string,
  ids: readonly string[],
  because: string,
  returning = 0,
): void {
  const present = draft.state.rolling[pool];
  const queue = [...new Set([...(present?.queue ?? []), ...ids])];
  if (queue.length === 0) return;
  const readyAtStart = Math.max(present?.readyAtStart ?? 0, countReady(draft, pool) + returning);
  const { current = null, deadlineMs = deadline(draft, ids) } = present ?? {};
  draft.setRolling(pool, { queue, current, readyAtStart, because, deadlineMs });
}

export function onRollingRestartRequested(draft: Draft, pool: string, because: string): void {
  const plan = planPoolRestart(draft.state, pool);
  for (const id of plan.return) restart(draft, draft.replica(id) as Replica);
  queueRolling(draft, pool, plan.roll, because, plan.return.length);
}

/** After each step: is the one that was out back, and may the next one go? */
export function advanceRolling(draft: Draft): void {
  for (const [pool, rolling] of Object.entries(draft.state.rolling)) advance(draft, pool, rolling);
}

function advance(draft: Draft, pool: string, rolling: Rolling): void {
  const { current } = rolling;
  if (current !== null) {
    const replica = draft.state.replicas[current.replica];
    if (replica?.phase.name === 'quarantined')
      return giveUp(draft, pool, `${current.replica} did not come back: ${replica.reason}`);
    if (replica !== undefined && !isBack(replica, current.generation)) {
      const mayStay = current.wasReady && replica.phase.name === 'draining';
      if (mayStay && !mayGo(draft, pool, rolling, current.replica))
        return putBack(draft, pool, rolling, current.replica);
      if (draft.nowMs >= rolling.deadlineMs)
        giveUp(draft, pool, `${current.replica} is not back after ${spanText(longest(draft, replica))}`);
      return;
    }
  }
  takeNext(draft, pool, rolling);
}

/** Ready with a new generation, or a person has decided otherwise meanwhile. */
function isBack({ phase, goal, generation }: Replica, generationBefore: number): boolean {
  if (goal.kind === 'stop' || goal.kind === 'remove') return true;
  return phase.name === 'serving' && generation > generationBefore;
}

function takeNext(draft: Draft, pool: string, rolling: Rolling): void {
  const queue = rolling.queue.filter((id) => {
    const replica = draft.state.replicas[id];
    // What is just being started anyway needs no restart.
    if (replica === undefined || replica.phase.name === 'recording') return false;
    return replica.goal.kind === 'run' || replica.goal.kind === 'fail';
  });
  if (queue.length === 0) {
    draft.setRolling(pool, null);
    return draft.tell('info', pool, `rolling restart is done (${rolling.because})`);
  }
  // What takes no traffic goes first: its restart costs nothing, and may bring capacity back.
  const isReady = (id: string) => {
    const replica = draft.state.replicas[id];
    return replica !== undefined && stateOf(replica) === 'ready';
  };
  const next = queue.find((id) => !isReady(id)) ?? queue.find((id) => mayGo(draft, pool, rolling, id));
  if (next === undefined) {
    if (draft.nowMs >= rolling.deadlineMs)
      return giveUp(draft, pool, `the pool has too few ready replicas to take ${queue[0]} out`);
    if (rolling.current !== null) draft.setRolling(pool, { ...rolling, queue, current: null });
    return;
  }
  const replica = draft.replica(next) as Replica;
  draft.setRolling(pool, {
    ...rolling,
    queue: queue.filter((id) => id !== next),
    current: { replica: next, generation: replica.generation, wasReady: isReady(next) },
    deadlineMs: deadline(draft, [next]),
  });
  if (replica.phase.name === 'quarantined') {
    replica.failures = [];
    replica.attempt = 0;
    return start(draft, replica, rolling.because);
  }
  end(draft, replica, { kind: 'restart' }, `rolling restart: ${rolling.because}`);
}

/** Another one failed while this one was on its way out: it is needed. */
function putBack(draft: Draft, pool: string, rolling: Rolling, id: string): void {
  const replica = draft.replica(id);
  if (replica === undefined) return;
  replica.goal = { kind: 'run' };
  serve(draft, replica, 'stays for now: another replica of its pool failed');
  draft.setRolling(pool, { ...rolling, queue: [...rolling.queue, id], current: null });
}

function mayGo(draft: Draft, pool: string, { readyAtStart }: Rolling, id: string): boolean {
  const all = ofPool(draft, pool);
  if (all.length === 1) return true;
  // Replicas that will not come back by themselves are not waited for.
  const able = all.filter(({ goal, phase }) => goal.kind !== 'stop' && phase.name !== 'quarantined').length;
  const floor = Math.max(1, Math.min(readyAtStart, able) - 1);
  const others = all.filter((other) => other.spec.id !== id && stateOf(other) === 'ready').length;
  return others >= floor;
}

function giveUp(draft: Draft, pool: string, why: string): void {
  draft.setRolling(pool, null);
  draft.tell('page', pool, `rolling restart stopped, the rest stays as it is: ${why}`);
}

function ofPool(draft: Draft, pool: string): Replica[] {
  return Object.values(draft.state.replicas).filter(
    ({ spec, goal, stray }) => spec.pool === pool && goal.kind !== 'remove' && !stray,
  );
}

function countReady(draft: Draft, pool: string): number {
  return ofPool(draft, pool).filter((replica) => stateOf(replica) === 'ready').length;
}

function deadline(draft: Draft, ids: readonly string[]): number {
  const spans = ids.map((id) => {
    const replica = draft.state.replicas[id];
    return replica === undefined ? 0 : longest(draft, replica);
  });
  return draft.nowMs + Math.max(0, ...spans);
}

/** A drain, an end by force, and two starts. */
function longest({ settings }: Draft, { spec }: Replica): number {
  return settings.drainTimeoutMs + settings.termGraceMs + settings.killRetryMs + 2 * spec.startTimeoutMs;
}
