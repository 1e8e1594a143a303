/**
 * What must hold after each step of the machine, whatever happens around it. Checks go by what the machine orders and by
 * what is true in the pretended world, not by how the machine works inside.
 */
import type { ProcessIdentity } from '../../src/contract/ports/process-host.ts';
import type { ReplicaRecord } from '../../src/contract/ports/replica-records.ts';
import type { FleetState } from '../../src/decide/recovery/fleet-state.ts';
import type { RecoveryEffect, RecoveryOrder } from '../../src/decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../src/decide/recovery/recovery-event.ts';
import type { RecoverySettings } from '../../src/decide/recovery/recovery-settings.ts';
import { type Replica, type ReplicaSpec, stateOf } from '../../src/decide/recovery/replica.ts';
import type { PretendProcess } from './pretend-process.ts';

/** Records hold whole milliseconds. */
const RECORD_PRECISION_MS = 1;

export class Violation extends Error {}

interface Watched {
  /** Order that may change the process, not answered yet. */
  acting: { id: number; type: string; untilMs: number } | null;
  /** When restarts after failures were ordered. */
  restartsAtMs: number[];
  /** The start that comes next follows a failure. */
  startsAgain: boolean;
  /** Restarts by the machine's own count, when the newest of them was ordered. */
  restartsSeen: number;
  /** Newest generation whose end the supervisor was told. */
  endedGeneration: number;
  /** Newest generation that was ready. */
  readyGeneration: number;
  published: string;
  /** The first SIGTERM to a generation, as long as no SIGKILL followed. */
  termed: { generation: number; atMs: number } | null;
  /** The drain under way, and whether gateways have said since that nothing is in flight. */
  drain: { sinceMs: number; isEmpty: boolean } | null;
}

export class Safety {
  readonly #settings: RecoverySettings;
  readonly #isIll: (replica: string, generation: number) => boolean;
  /** Pools whose rolling restart was given up, which people were told. */
  readonly givenUp = new Set<string>();
  readonly #watched = new Map<string, Watched>();
  /** Replicas that the newest configuration names; null before there was one. */
  #wanted: ReadonlySet<string> | null = null;
  /** The configuration that is just being taken in. */
  #configuring: readonly ReplicaSpec[] | null = null;

  /** `isIll`: whether a process hangs, as it is in truth. */
  constructor(settings: RecoverySettings, isIll: (replica: string, generation: number) => boolean) {
    this.#settings = settings;
    this.#isIll = isIll;
  }

  /** Before the machine gets the event. */
  onEvent(event: RecoveryEvent): void {
    this.#configuring = event.type === 'configured' ? event.replicas : null;
    if (event.type === 'configured') this.#wanted = new Set(event.replicas.map(({ id }) => id));
    if (event.type === 'inFlightReported') {
      const { drain } = this.#of(event.replica);
      if (drain !== null) drain.isEmpty = event.count === 0;
      return;
    }
    if (event.type === 'exited') {
      const watched = this.#of(event.replica);
      watched.endedGeneration = Math.max(watched.endedGeneration, event.generation);
    } else if ('effect' in event) {
      const watched = this.#of(event.replica);
      if (watched.acting?.id === event.effect) watched.acting = null;
    } else if (event.type === 'restartRequested') {
      // A person may restart as often as they like.
      const watched = this.#of(event.replica);
      watched.restartsAtMs = [];
      watched.startsAgain = false;
    }
  }

  onStep(before: FleetState, after: FleetState, effects: readonly RecoveryEffect[]): void {
    const published = effects.some(({ type }) => type === 'publish');
    if (this.#configuring !== null) this.#onConfigured(before, after, this.#configuring);
    this.#configuring = null;
    for (const effect of effects) this.#onEffect(before, after, effect);
    for (const id in after.replicas) {
      const replica = after.replicas[id] as Replica;
      if (replica !== before.replicas[id] || published) this.#onReplica(after, replica, published);
    }
  }

  /** After the machine was told the time: nothing that is overdue may still be waited for. */
  onTick({ nowMs, replicas }: FleetState): void {
    for (const id in replicas) {
      const { writing, acting, probing } = replicas[id] as Replica;
      for (const order of [writing, acting, probing])
        if (order !== null && order.deadlineMs <= nowMs)
          throw new Violation(`${id}: order ${order.id} was neither answered nor given up`);
      this.#checkForce(replicas[id] as Replica, nowMs);
    }
  }

  /** What does not end when it is asked to is ended by force. */
  #checkForce(replica: Replica, nowMs: number): void {
    const termed = this.#watched.get(replica.spec.id)?.termed;
    if (termed?.generation !== replica.generation || stateOf(replica) !== 'stopping') return;
    const { termGraceMs, localTimeoutMs } = this.#settings;
    if (nowMs - termed.atMs > termGraceMs + 2 * localTimeoutMs)
      throw new Violation(`${replica.spec.id}: no SIGKILL ${nowMs - termed.atMs} ms after SIGTERM`);
  }

  /** A process is about to be started. */
  onSpawn(replica: string, processes: Iterable<PretendProcess>): void {
    for (const other of processes) {
      if (other.replica === replica && other.alive)
        throw new Violation(`${replica}: a second process beside generation ${other.generation}`);
    }
  }

  onSignal(replica: string, target: PretendProcess | undefined): void {
    if (target !== undefined && target.replica !== replica)
      throw new Violation(`${replica}: signalled a process of ${target.replica}`);
  }

  onAdopted(replica: string, process: ProcessIdentity, owner: PretendProcess | undefined): void {
    if (owner?.replica !== replica || owner.identity.startTicks !== process.startTicks)
      throw new Violation(`${replica}: adopted pid ${process.pid}, which is not its process`);
  }

  /** A new supervisor knows what the old one wrote down. */
  onSupervisorDeath(disk: ReadonlyMap<string, ReplicaRecord>, wallOffsetMs: number): void {
    for (const [id, watched] of this.#watched) {
      watched.acting = null;
      const record = disk.get(id);
      const written = record?.restarts ?? 0;
      // A record that could not be written: the limit cannot be kept over the death of the supervisor.
      if (written < watched.restartsSeen) watched.restartsAtMs = [];
      // When it was written down is known; when it then happened, not yet.
      const newest = watched.restartsAtMs.pop();
      const writtenAtMs = (record?.failures.at(-1)?.restartAtMs ?? Number.POSITIVE_INFINITY) - wallOffsetMs;
      if (newest !== undefined) watched.restartsAtMs.push(Math.min(newest, writtenAtMs));
      watched.startsAgain = false;
      watched.termed = null;
      watched.drain = null;
      watched.restartsSeen = Math.min(watched.restartsSeen, written);
      watched.endedGeneration = 0;
      watched.readyGeneration = 0;
    }
  }

  #onEffect(before: FleetState, after: FleetState, effect: RecoveryEffect): void {
    switch (effect.type) {
      case 'spawn':
      case 'find':
      case 'signal':
        this.#onActing(after, effect);
        if (effect.type === 'spawn') this.#onStart(effect.replica);
        if (effect.type === 'spawn') this.#onRestart(after, effect.replica);
        if (effect.type === 'signal') this.#onEnding(after, effect);
        return;
      case 'announce':
        this.#of(effect.replica).startsAgain = isRestart(before, after, effect.replica);
        this.#onDrain(after, effect);
        if (effect.to === 'ready') this.#of(effect.replica).readyGeneration = effect.generation;
        // Somebody has said otherwise, so the count begins anew.
        if (effect.from === 'quarantined' || effect.reason === 'restarted on request')
          this.#of(effect.replica).restartsAtMs = [];
        if (
          effect.from === 'ready' &&
          effect.to === 'draining' &&
          effect.reason.startsWith('rolling restart')
        )
          this.#onTakenOut(before, after, effect.replica);
        return;
      case 'tell':
        if (effect.text.startsWith('rolling restart stopped')) this.givenUp.add(effect.subject);
        return;
      case 'forget':
        this.#watched.delete(effect.replica);
        return;
      default:
        return;
    }
  }

  /** What was unloaded, or was never there, is not started. */
  #onStart(id: string): void {
    if (this.#wanted !== null && !this.#wanted.has(id))
      throw new Violation(`${id}: started though the configuration does not name it`);
  }

  /** Models that come, go or change cost the others nothing: a pool whose part is as before serves on as before. */
  #onConfigured(before: FleetState, after: FleetState, specs: readonly ReplicaSpec[]): void {
    const changed = new Set<string>();
    const next = new Map(specs.map((spec) => [spec.id, spec]));
    for (const { spec } of Object.values(before.replicas))
      if (JSON.stringify(next.get(spec.id)) !== JSON.stringify(spec)) changed.add(spec.pool);
    for (const { id, pool } of specs) if (before.replicas[id] === undefined) changed.add(pool);
    for (const former of Object.values(before.replicas)) {
      const { id, pool } = former.spec;
      if (changed.has(pool) || before.rolling[pool] !== undefined || stateOf(former) !== 'ready') continue;
      const present = after.replicas[id];
      if (present === undefined || stateOf(present) !== 'ready' || present.generation !== former.generation)
        throw new Violation(`${id}: taken out by a configuration that says of its pool what it said before`);
    }
  }

  #onActing(
    { nowMs }: FleetState,
    order: Extract<RecoveryOrder, { type: 'spawn' | 'find' | 'signal' }>,
  ): void {
    const watched = this.#of(order.replica);
    if (watched.acting !== null && watched.acting.untilMs > nowMs)
      throw new Violation(`${order.replica}: ${order.type} while ${watched.acting.type} is under way`);
    const untilMs =
      order.type === 'spawn'
        ? order.notAfterMs + this.#settings.answerSlackMs
        : nowMs + this.#settings.localTimeoutMs;
    watched.acting = { id: order.id, type: order.type, untilMs };
  }

  #onRestart({ nowMs, replicas }: FleetState, id: string): void {
    const watched = this.#of(id);
    if (!watched.startsAgain) return;
    watched.startsAgain = false;
    watched.restartsSeen = replicas[id]?.restarts ?? 0;
    watched.restartsAtMs.push(nowMs);
    const { restartsMax, restartWindowMs } = this.#settings;
    const earlier = watched.restartsAtMs.at(-1 - restartsMax);
    if (earlier !== undefined && nowMs - earlier < restartWindowMs - RECORD_PRECISION_MS)
      throw new Violation(`${id}: ${restartsMax + 1} restarts within ${nowMs - earlier} ms`);
  }

  #onEnding({ replicas, nowMs }: FleetState, order: Extract<RecoveryOrder, { type: 'signal' }>): void {
    const { replica: id, generation, signal } = order;
    const replica = replicas[id];
    const watched = this.#of(id);
    if (signal === 'KILL') watched.termed = null;
    else if (watched.termed?.generation !== generation) watched.termed = { generation, atMs: nowMs };
    if (replica === undefined) return;
    if (replica.goal.kind === 'run') throw new Violation(`${id}: signalled though it shall run`);
    if (replica.goal.kind !== 'fail') return;
    if (replica.goal.failure === 'unhealthy' && !this.#isIll(id, generation))
      throw new Violation(`${id}: an engine that works is ended: ${replica.goal.summary}`);
    if (replica.goal.failure !== 'unhealthy' && this.#of(id).readyGeneration === replica.generation)
      throw new Violation(`${id}: a replica that was ready is ended for its probes`);
  }

  /** A drain lasts until gateways say that nothing is in flight, or until its deadline: their silence does not end it. */
  #onDrain(
    { nowMs, replicas }: FleetState,
    { replica: id, from, to }: Extract<RecoveryEffect, { type: 'announce' }>,
  ): void {
    const watched = this.#of(id);
    const { drain } = watched;
    watched.drain = to === 'draining' ? { sinceMs: nowMs, isEmpty: false } : null;
    if (from !== 'draining' || drain === null || drain.isEmpty) return;
    const isCut = to === 'stopping' || (to === 'stopped' && replicas[id]?.spec.managed === false);
    if (isCut && nowMs < drain.sinceMs + this.#settings.drainTimeoutMs)
      throw new Violation(`${id}: cut ${nowMs - drain.sinceMs} ms into its drain, with requests in flight`);
  }

  #onTakenOut(before: FleetState, after: FleetState, id: string): void {
    // Taken out before the supervisor died, and still out.
    if (before.replicas[id] === undefined) return;
    const pool = after.replicas[id]?.spec.pool;
    const ofPool = ({ replicas }: FleetState) =>
      Object.values(replicas).filter(
        ({ spec }) => spec.pool === pool && !isUnwanted(after.replicas[spec.id]),
      );
    const readyIn = (state: FleetState) =>
      ofPool(state).filter((replica) => stateOf(replica) === 'ready').length;
    if (ofPool(after).length > 1 && readyIn(after) < Math.max(1, readyIn(before) - 1))
      throw new Violation(`${id}: taken out by a rolling restart with ${readyIn(after)} others ready`);
  }

  #onReplica({ nowMs }: FleetState, replica: Replica, published: boolean): void {
    const { id } = replica.spec;
    const watched = this.#of(id);
    const state = stateOf(replica);
    const view = `${state} ${replica.generation}`;
    if (published) watched.published = view;
    else if (watched.published !== view && (state === 'ready' || watched.published.startsWith('ready')))
      throw new Violation(`${id}: is ${view}, but was last published as ${watched.published}`);
    if (state === 'ready' && replica.spec.managed && replica.generation <= watched.endedGeneration)
      throw new Violation(`${id}: ready at ${nowMs}, but generation ${replica.generation} has ended`);
  }

  #of(id: string): Watched {
    let watched = this.#watched.get(id);
    if (watched === undefined) {
      watched = {
        acting: null,
        restartsAtMs: [],
        startsAgain: false,
        restartsSeen: 0,
        endedGeneration: 0,
        readyGeneration: 0,
        published: '',
        termed: null,
        drain: null,
      };
      this.#watched.set(id, watched);
    }
    return watched;
  }
}

/** Taken out by people, who may go below the floor. */
function isUnwanted(replica: Replica | undefined): boolean {
  return replica === undefined || replica.goal.kind === 'remove' || replica.goal.kind === 'stop';
}

/** By the machine's own count, which people see; a start on command is none. */
function isRestart(before: FleetState, after: FleetState, id: string): boolean {
  const former = before.replicas[id];
  return former !== undefined && (after.replicas[id]?.restarts ?? 0) > former.restarts;
}
