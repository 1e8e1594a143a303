/**
 * Which replicas there are: by configuration, and by what a former supervisor left behind.
 */
import { poolOf } from '../../contract/replica-id.ts';
import type { Draft } from './draft.ts';
import { end, kill, terminate } from './ending.ts';
import { ail, climb, climbDeadlineMs, serveOn } from './entering.ts';
import { failed, quarantine } from './failing.ts';
import type { RecoveryEvent } from './recovery-event.ts';
import { type Goal, NO_MEANS, type Replica, type ReplicaSpec } from './replica.ts';
import type { ReplicaMemory } from './replica-memory.ts';
import { queueRolling } from './rolling.ts';
import { start } from './start.ts';

type Event<Type extends RecoveryEvent['type']> = Extract<RecoveryEvent, { type: Type }>;

/** Holds until `configured` says what the configuration wants of the replica. */
function rememberedSpec(id: string, launchHash: string): ReplicaSpec {
  return {
    id,
    pool: poolOf(id),
    managed: true,
    launchHash,
    url: null,
    startTimeoutMs: 600_000,
    standby: false,
    means: NO_MEANS,
  };
}

export function onConfigured(draft: Draft, { replicas }: Event<'configured'>): void {
  const wanted = new Set(replicas.map(({ id }) => id));
  for (const id of Object.keys(draft.state.replicas)) {
    const replica = draft.replica(id);
    if (replica === undefined || wanted.has(id) || replica.goal.kind === 'remove') continue;
    end(
      draft,
      replica,
      { kind: 'remove' },
      'taken out: unloaded, scaled down, or no longer in the configuration',
    );
  }
  for (const spec of replicas) {
    const known = draft.replica(spec.id);
    if (known === undefined) start(draft, draft.add(spec), 'is in the configuration');
    else reconfigure(draft, known, spec);
  }
  assignRoles(draft, replicas);
  draft.fleetChanged();
}

/** Roles wander between the replicas of a pool; how many stand by is what the configuration says. */
function assignRoles(draft: Draft, specs: readonly ReplicaSpec[]): void {
  for (const pool of new Set(specs.map((spec) => spec.pool))) {
    const wanted = specs.filter((spec) => spec.pool === pool);
    const present = wanted
      .map(({ id }) => draft.state.replicas[id])
      .filter((replica) => replica !== undefined);
    const standing = present.filter(({ standby }) => standby).length;
    if (standing === wanted.filter(({ standby }) => standby).length) continue;
    for (const { id, standby } of wanted) {
      const replica = draft.replica(id);
      if (replica !== undefined) replica.standby = standby;
    }
  }
}

function reconfigure(draft: Draft, replica: Replica, spec: ReplicaSpec): void {
  // What was said before is on its way, or was given up for a reason: that another model comes or goes is no new one.
  const changed = replica.startedHash !== spec.launchHash && replica.spec.launchHash !== spec.launchHash;
  replica.spec = spec;
  const { name } = replica.phase;
  if (replica.phase.name === 'climbing')
    replica.phase = {
      ...replica.phase,
      deadlineMs: climbDeadlineMs(draft, replica, replica.phase.sinceMs),
    };
  if (replica.goal.kind === 'remove')
    return end(draft, replica, { kind: 'restart' }, 'is in the configuration again');
  if (name === 'stopped' && replica.goal.kind === 'run')
    return start(draft, replica, 'is in the configuration');
  if (!changed) return;
  if (name === 'quarantined') {
    replica.failures = [];
    replica.attempt = 0;
    return start(draft, replica, 'its configuration has changed');
  }
  if (!spec.managed) {
    replica.startedHash = spec.launchHash;
    return name === 'stopped' || replica.goal.kind === 'stop'
      ? undefined
      : start(draft, replica, 'its address has changed');
  }
  // The others take it up when they are next started.
  if (name !== 'waiting' && name !== 'stopped' && name !== 'recording')
    queueRolling(draft, spec.pool, [spec.id], 'its configuration has changed');
}

export function onAdopted(draft: Draft, event: Event<'adopted'>): void {
  const replica = draft.add(rememberedSpec(event.replica, event.launchHash));
  if (event.memory !== null) remember(draft, replica, event.memory);
  replica.generation = event.generation;
  replica.process = event.process;
  replica.url = event.url;
  replica.startedHash = event.launchHash;
  replica.inFlight = null;
  takeUp(draft, replica, event.memory);
}

/** Goes on where the former supervisor was, without ending anything that it did not want to end. */
function takeUp(draft: Draft, replica: Replica, memory: ReplicaMemory | null): void {
  const runs = `pid ${replica.process?.pid} was running already`;
  const goal: Goal['kind'] = memory?.goal ?? 'run';
  if (goal === 'fail') {
    replica.goal = {
      kind: 'fail',
      failure: memory?.failing ?? 'not-ready',
      summary: memory?.reason ?? 'not ready in time',
    };
    return terminate(draft, replica, replica.goal.summary);
  }
  if (goal === 'quarantine') {
    replica.goal = { kind: 'quarantine', summary: memory?.reason ?? 'was to be quarantined' };
    return terminate(draft, replica, replica.goal.summary);
  }
  if (memory?.state === 'ready') {
    serveOn(draft, replica, runs, memory.sinceMs);
    replica.sinceMs = memory.sinceMs;
  } else if (memory?.state === 'draining') serveOn(draft, replica, runs);
  else if (memory?.state === 'unready') ail(draft, replica, runs);
  else climb(draft, replica, runs, memory?.state === 'starting' ? memory.sinceMs : draft.nowMs);
  if (goal !== 'run')
    end(draft, replica, { kind: goal }, memory?.reason ?? 'was being ended by a former supervisor');
}

export function onRecalled(draft: Draft, { memory }: Event<'recalled'>): void {
  const replica = draft.add(rememberedSpec(memory.id, memory.launchHash));
  remember(draft, replica, memory);
  replica.generation = memory.generation;
  replica.url = memory.url;
  replica.startedHash = memory.launchHash;
  switch (memory.goal) {
    case 'remove':
      return draft.remove(memory.id);
    case 'stop':
      replica.goal = { kind: 'stop' };
      return draft.enter(replica, { name: 'stopped' }, memory.reason);
    case 'fail':
      return failed(draft, replica, { kind: memory.failing ?? 'not-ready', summary: memory.reason });
    case 'quarantine':
      return quarantine(draft, replica, memory.reason);
    case 'restart':
    case 'run':
      break;
  }
  if (memory.state === 'quarantined') return draft.enter(replica, { name: 'quarantined' }, memory.reason);
  if (memory.state === 'backing-off') {
    const untilMs = memory.failures.at(-1)?.restartAtMs ?? draft.nowMs;
    return draft.enter(replica, { name: 'waiting', untilMs }, memory.reason);
  }
  // An asked-for restart whose first half is done: the second half is a plain start, once `configured` has come.
  if (memory.goal === 'restart') return;
  if (memory.process === null)
    return failed(draft, replica, { kind: 'not-started', summary: 'the supervisor died while starting it' });
  failed(draft, replica, { kind: 'exited', summary: 'ended while no supervisor watched' });
}

function remember(draft: Draft, replica: Replica, memory: ReplicaMemory): void {
  const wasStable = memory.state === 'ready' && draft.isStableSince(memory.sinceMs);
  replica.attempt = wasStable ? 0 : memory.attempt;
  replica.restarts = memory.restarts;
  replica.failures = memory.failures;
  replica.lastIncident = memory.lastIncident;
  replica.provenHash = memory.provenHash;
  replica.standby = memory.standby;
  replica.adjustment = memory.adjustment;
  replica.ladders = memory.ladders;
  replica.incident = memory.incident;
  replica.windowShare = memory.windowShare;
}

export function onStrayFound(draft: Draft, { name, generation, process }: Event<'strayFound'>): void {
  const replica = draft.add(rememberedSpec(name, ''));
  replica.stray = true;
  replica.generation = generation;
  replica.process = process;
  replica.goal = { kind: 'remove' };
  terminate(draft, replica, 'belongs to no replica of the configuration');
}

export function onEndRequested(draft: Draft, { how }: Event<'endRequested'>): void {
  draft.state.ending = how;
  for (const pool of Object.keys(draft.state.rolling)) draft.setRolling(pool, null);
  for (const id of Object.keys(draft.state.replicas)) {
    const replica = draft.replica(id);
    if (replica === undefined) continue;
    if (!replica.spec.managed) {
      draft.remove(id);
      continue;
    }
    end(draft, replica, { kind: 'remove' }, 'the platform is being stopped');
    if (how === 'kill' && draft.state.replicas[id] !== undefined) kill(draft, replica);
  }
}
