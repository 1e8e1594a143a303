/**
 * Admits attempts to replicas: takes a place where the pool's strategy says, or lets the request wait in the pool's queue
 * (`decide/scheduling/queue`), which is bounded, fair between tenants, and knows priorities and deadlines. Between the workers
 * of a gateway what comes free goes round by the weights of who waits in each: whoever frees a place wakes the others, and leaves
 * it to them for a moment where it is their turn.
 *
 * Owner of a waiting request is the queue; it leaves by exactly one of: a lease, its deadline, its client's departure.
 */
import type { Clock } from '../../base/clock.ts';
import { createRandom } from '../../base/random.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { PoolView } from '../../contract/fleet.ts';
import type { GatewaySettings } from '../../contract/gateway-snapshot.ts';
import { PrefixIndex } from '../../decide/scheduling/affinity/prefix-index.ts';
import type { Explanation } from '../../decide/scheduling/pick/scheduler.ts';
import { FairQueue, type QueueEntry } from '../../decide/scheduling/queue/fair-queue.ts';
import type { FleetTable, PoolEntry, ReplicaEntry } from './fleet-table.ts';
import type { ReplicaGates } from './health/replica-gates.ts';
import type { Demand } from './places/demand.ts';
import type { GaugeCells } from './places/gauge-cells.ts';
import type { LoadCells } from './places/load-cells.ts';
import {
  type Moment,
  type Place,
  PoolScheduler,
  type PoolSchedulerOptions,
} from './places/pool-scheduler.ts';
import { beingStopped, noReplica, saturated, unknownModel, waitedInVain } from './places/refusals.ts';
import type { SharedState } from './shared-state.ts';
import type { OnlyOn } from './suspects/suspicion.ts';

/** A place on a replica. `release` gives it back, once. */
export interface Lease {
  replica: ReplicaEntry;
  /** Time spent waiting for it. */
  queuedMs: number;
  /** The request is the one that shows whether the replica is well again, under this number; null: it is not. */
  probe: number | null;
  /** Why this replica; null unless it was asked for. */
  explanation: Explanation | null;
  /** The engine has read the prompt: that part of the work is done. Any number of calls. */
  promptDone(): void;
  release(): void;
  /** The request is over and used so many tokens, however many attempts it took: the turn of its tenant depends on it. */
  settle(tokensUsed: number): void;
}

export interface AcquireOptions {
  model: string;
  demand: Demand;
  /** Runs of replicas (`runOf`) that failed this request before. */
  avoid: readonly string[];
  /** A stream that must go on: ahead of the queue, and never refused for its length. */
  urgent: boolean;
  /** Monotonic. */
  deadlineMs: number;
  /** The lease is to say why. Default false. */
  explain?: boolean;
  /** A suspect that may go to one replica only. Default: anywhere. */
  only?: OnlyOn | undefined;
}

interface Waiting extends QueueEntry {
  options: AcquireOptions;
  /** The adapter that it asks for; null: the model itself. All wait in one queue. */
  adapter: string | null;
  sinceMs: number;
  resolve(lease: Lease): void;
  reject(error: PlatformError): void;
}

interface PoolState {
  /** Of the newest snapshot. */
  pool: PoolEntry;
  scheduler: PoolScheduler;
  queue: FairQueue<Waiting>;
  /** Set for the moment in which what comes free is for other workers. */
  leaving: NodeJS.Timeout | null;
  /** The queue is looked at before long. */
  isLookedAt: boolean;
}

export interface AdmissionOptions {
  shared: SharedState;
  clock: Clock;
  table: FleetTable;
  settings: GatewaySettings;
  /** Which replica has seen which beginning of a prompt; shared by all workers. */
  prefixes: SharedArrayBuffer;
  gates: ReplicaGates;
  gauges: GaugeCells;
  load: LoadCells;
  onProbe(replica: ReplicaEntry, probe: number): void;
  /** How long a place is left to a worker whose turn it is, ms. Default LEAVE_MS. */
  leaveMs?: number;
}

/** While requests wait, the queue is looked at this often besides the wake-ups: deadlines and ejections pass silently. */
const SWEEP_MS = 50;
/** A few times what waking a worker takes. */
const LEAVE_MS = 5;
/** Longest Retry-After of a request that waited in vain, s. */
const RETRY_AFTER_MAX_S = 60;

export class Admission {
  readonly #shared: SharedState;
  readonly #clock: Clock;
  readonly #load: LoadCells;
  readonly #gates: ReplicaGates;
  readonly #scheduling: PoolSchedulerOptions;
  readonly #leaveMs: number;
  /** By model. */
  readonly #pools = new Map<string, PoolState>();
  #table: FleetTable;
  #settings: GatewaySettings;
  #sweeper: NodeJS.Timeout | null = null;
  #listening = false;
  #stopping = false;

  constructor(options: AdmissionOptions) {
    const { shared, clock, table, settings, prefixes, gates, gauges, load, onProbe } = options;
    this.#leaveMs = options.leaveMs ?? LEAVE_MS;
    this.#load = load;
    this.#gates = gates;
    this.#shared = shared;
    this.#clock = clock;
    this.#table = table;
    this.#settings = settings;
    // Workers that see the same must not all choose the same.
    const chance = createRandom(Math.floor(clock.machineMs() * 1_000));
    this.#scheduling = { shared, gates, gauges, prefixIndex: new PrefixIndex(prefixes), chance, onProbe };
    this.#assign();
  }

  update(table: FleetTable, settings: GatewaySettings): void {
    this.#table = table;
    this.#settings = settings;
    this.#assign();
    this.#pumpAll();
  }

  /** A place that is free and that nobody waits for; null: the request has to wait (`acquire`), or is refused. */
  take(options: AcquireOptions): Lease | null {
    const seen = this.#table.find(options.model);
    if (seen === undefined) return null;
    const state = this.#pools.get(seen.view.model)!;
    // Whoever arrives must not overtake those that wait, unless it is urgent.
    if (!options.urgent && options.only === undefined && this.#othersComeFirst(state)) return null;
    const place = state.scheduler.take(seen, options, this.#moment());
    if (typeof place === 'string') return null;
    return new HeldPlace(this, state, { replica: seen.replicas[place.index]!, place, options, queuedMs: 0 });
  }

  /**
   * Resolves with a place. Rejects with `saturated`, `no_replica`, `queue_timeout` or `model_not_found`.
   * `onCancel` hands out a function that takes the request out of the queue when its client leaves.
   */
  acquire(options: AcquireOptions, onCancel: (cancel: () => void) => void): Promise<Lease> {
    const lease = this.take(options);
    if (lease !== null) return Promise.resolve(lease);
    const seen = this.#table.find(options.model);
    if (seen === undefined) return Promise.reject(unknownModel(options.model, this.#table.names));
    const state = this.#pools.get(seen.view.model)!;
    const sinceMs = this.#clock.monotonicMs();
    if (!mayComeBack(seen)) return Promise.reject(noReplica(seen, this.#settings));
    if (this.#stopping && !isAnyReady(seen)) return Promise.reject(beingStopped());
    return new Promise((resolve, reject) => {
      const waiting = newWaiting(options, { adapter: seen.adapter ?? null, sinceMs, resolve, reject });
      const refusal = this.#enqueue(state, waiting);
      if (refusal !== null) return reject(refusal);
      onCancel(() =>
        this.#leave(
          state,
          waiting,
          new PlatformError('client_closed', 'the client left while its request waited in the queue'),
        ),
      );
      this.#keepLooking();
      // Held back for others, who may be unable to use what is free: nobody gives it back, so nobody would look.
      if (this.#openPlaces(state.pool) > 0) this.#lookSoon(state);
    });
  }

  /** Where a request that says nothing would go now. Throws `model_not_found`. */
  explain(model: string): Explanation & { waiting: number } {
    const seen = this.#table.find(model);
    if (seen === undefined) throw unknownModel(model, this.#table.names);
    const { scheduler } = this.#pools.get(seen.view.model)!;
    const explanation = scheduler.preview(seen, this.#moment());
    return { ...explanation, waiting: this.#shared.queued(seen.index) };
  }

  poolOf(model: string): PoolView | undefined {
    return this.#table.find(model)?.view;
  }

  get queued(): number {
    let sum = 0;
    for (const { queue } of this.#pools.values()) sum += queue.size;
    return sum;
  }

  /** The whole system stops: no replica becomes ready any more, so nobody waits for one. */
  stopWaiting(): void {
    this.#stopping = true;
    for (const state of this.#pools.values()) this.#rejectUnserved(state);
    this.#pumpAll();
  }

  /** Refuses all that wait; the worker stops. */
  close(): void {
    for (const state of this.#pools.values()) {
      this.#rejectAll(state, beingStopped());
      stopLeaving(state);
    }
    this.#stopSweeping();
  }

  #assign(): void {
    const gone = new Set(this.#pools.keys());
    for (const pool of this.#table.pools) {
      const { model } = pool.view;
      gone.delete(model);
      const known = this.#pools.get(model);
      if (known === undefined) {
        const scheduler = new PoolScheduler(pool, this.#scheduling);
        this.#pools.set(model, { pool, scheduler, queue: new FairQueue(), leaving: null, isLookedAt: false });
      } else {
        known.pool = pool;
        known.scheduler.update(pool);
        this.#rejectUnserved(known);
      }
    }
    for (const model of gone) {
      const state = this.#pools.get(model)!;
      this.#rejectAll(state, unknownModel(model, this.#table.names));
      stopLeaving(state);
      this.#pools.delete(model);
    }
  }

  /** Those that wait here; or in other workers, where they could use all that is free. */
  #othersComeFirst({ pool, queue }: PoolState): boolean {
    if (queue.size > 0) return true;
    const waiting = this.#shared.queued(pool.index);
    return waiting > 0 && this.#openPlaces(pool) <= waiting;
  }

  #lookSoon(state: PoolState): void {
    if (state.isLookedAt) return;
    state.isLookedAt = true;
    setImmediate(() => {
      state.isLookedAt = false;
      if (state.queue.size > 0) this.#pump(state);
    });
  }

  #moment(): Moment {
    return { wallMs: this.#clock.wallMs(), machineMs: this.#clock.machineMs() };
  }

  /** Null: it waits. */
  #enqueue({ pool, queue }: PoolState, waiting: Waiting): PlatformError | null {
    const shared = this.#shared;
    const limit = this.#queueSizeMax(pool);
    if (waiting.urgent) shared.enqueue(pool.index);
    const counted = waiting.urgent || shared.tryEnqueue(pool.index, limit);
    // What waits in other workers takes room, and is none of this queue's to share out.
    const others = Math.max(0, shared.queued(pool.index) - queue.size - (counted ? 1 : 0));
    const offer = queue.offer(waiting, counted ? Math.max(1, limit - others) : 0, waiting.sinceMs);
    if (offer.kind === 'queued') {
      if (queue.size === 1) shared.joinTurns(pool.index);
      return null;
    }
    if (counted) shared.dequeue(pool.index);
    this.#load.refused(pool.index);
    const { reason, retryAfterS } = offer;
    return saturated(reason, pool, { waiting: shared.queued(pool.index), limit, retryAfterS });
  }

  /** A place on that replica is free again: for whoever waits, here or in another worker. */
  gaveBack({ pool, queue }: PoolState, { slot }: ReplicaEntry): void {
    this.#shared.release(slot);
    if (this.#shared.queued(pool.index) > queue.size) this.#shared.wake();
    if (queue.size > 0) setImmediate(() => this.#pumpAll());
  }

  workDone({ slot }: ReplicaEntry, tokens: number): void {
    this.#shared.addWork(slot, -tokens);
  }

  #pumpAll(): void {
    for (const state of this.#pools.values()) if (state.queue.size > 0) this.#pump(state);
    if (this.queued === 0) this.#stopSweeping();
  }

  /** @param anyTurn what is free is taken even where another worker should have it. */
  #pump(state: PoolState, anyTurn = false): void {
    const { queue, scheduler, pool } = state;
    const shared = this.#shared;
    const nowMs = this.#clock.monotonicMs();
    this.#rejectExpired(state, nowMs);
    const now = this.#moment();
    /** Nobody is less choosy than a request that any replica could serve. */
    let full = false;
    const offered: { place: Place | null } = { place: null };
    const accept = ({ adapter, options }: Waiting) => {
      if (full) return false;
      const place = scheduler.take(this.#seenBy(pool, adapter), options, now);
      if (typeof place !== 'string') offered.place = place;
      else if (adapter === null && options.avoid.length === 0 && options.only === undefined) full = true;
      return typeof place !== 'string';
    };
    while (queue.size > 0) {
      if (!anyTurn && shared.queued(pool.index) > queue.size && shared.isOthersTurn(pool.index))
        return this.#leaveToOthers(state);
      const { turnWeight } = queue;
      const entry = queue.take(accept, nowMs);
      if (entry === undefined) return;
      shared.tookTurn(pool.index, Math.max(1, Math.round(entry.tokens / turnWeight)));
      const { options, sinceMs, adapter } = entry;
      const place = offered.place!;
      const replica = this.#seenBy(pool, adapter).replicas[place.index]!;
      this.#shared.dequeue(pool.index);
      this.#load.waited(nowMs - sinceMs);
      const queuedMs = nowMs - sinceMs;
      entry.resolve(new HeldPlace(this, state, { replica, place, options, queuedMs, entry }));
    }
  }

  /** Whoever freed the place has woken them. What they can not use, or are too slow for, is not left idle. */
  #leaveToOthers(state: PoolState): void {
    state.leaving ??= setTimeout(() => {
      state.leaving = null;
      if (state.queue.size > 0) this.#pump(state, true);
    }, this.#leaveMs);
  }

  /** The pool as a request sees it that waits: itself, or through an adapter. */
  #seenBy(pool: PoolEntry, adapter: string | null): PoolEntry {
    return adapter === null ? pool : (this.#table.find(adapter) ?? pool);
  }

  #rejectExpired(state: PoolState, nowMs: number): void {
    const { pool, queue } = state;
    for (let late = queue.expired(nowMs); late !== undefined; late = queue.expired(nowMs)) {
      this.#shared.dequeue(pool.index);
      const drainS = this.#shared.queued(pool.index) / Math.max(queue.drainPerS, 1 / RETRY_AFTER_MAX_S);
      const retryAfterS = Math.min(RETRY_AFTER_MAX_S, Math.max(1, Math.ceil(drainS)));
      late.reject(
        waitedInVain(this.#seenBy(pool, late.adapter), this.#settings, {
          waitedMs: nowMs - late.sinceMs,
          retryAfterS,
        }),
      );
    }
  }

  /** A new snapshot may take away adapters, all replicas or the model itself while requests wait for them. */
  #rejectUnserved(state: PoolState): void {
    const { pool, queue } = state;
    if (queue.size === 0) return;
    const { names } = this.#table;
    if (pool.view.leaving === true) this.#rejectAll(state, unknownModel(pool.view.model, names));
    else if (!mayComeBack(pool)) this.#rejectAll(state, noReplica(pool, this.#settings));
    else if (this.#stopping && !isAnyReady(pool)) this.#rejectAll(state, beingStopped());
    for (const waiting of [...queue.entries()]) {
      const { adapter } = waiting;
      const seen = adapter === null ? pool : this.#table.find(adapter);
      if (seen?.view !== pool.view) this.#leave(state, waiting, unknownModel(adapter ?? '', names));
      else if (!mayComeBack(seen)) this.#leave(state, waiting, noReplica(seen, this.#settings));
    }
  }

  #rejectAll(state: PoolState, error: PlatformError): void {
    for (const waiting of [...state.queue.entries()]) this.#leave(state, waiting, error);
  }

  #leave({ pool, queue }: PoolState, waiting: Waiting, error: PlatformError): void {
    if (!queue.remove(waiting)) return;
    this.#shared.dequeue(pool.index);
    waiting.reject(error);
  }

  /** Looks at the queues at each wake-up of another worker, and from time to time, as long as anything waits. */
  #keepLooking(): void {
    this.#sweeper ??= setInterval(() => this.#pumpAll(), SWEEP_MS);
    if (this.#listening) return;
    this.#listening = true;
    void this.#shared.nextWake().then(() => {
      this.#listening = false;
      this.#pumpAll();
      if (this.queued > 0) this.#keepLooking();
    });
  }

  #stopSweeping(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  /**
   * As configured, shortened under pressure; and for each place that clients have in a moment one more: those that filler holds,
   * so that none is refused for filler, and those that are free and that somebody who waits is about to take.
   */
  #queueSizeMax(pool: PoolEntry): number {
    const { queueSizeMax } = this.#settings;
    const length = Math.max(Math.min(1, queueSizeMax), Math.floor(queueSizeMax * this.#load.queueShare));
    const filler = pool.replicas.reduce((sum, { slot }) => sum + this.#shared.fillerInFlight(slot), 0);
    return length + filler + this.#openPlaces(pool);
  }

  /** Places that are free for clients. */
  #openPlaces({ replicas }: PoolEntry): number {
    let places = 0;
    for (const { slot, view } of replicas) {
      if (view.state !== 'ready' || this.#gates.isClosed(slot)) continue;
      const window = Math.max(1, Math.floor(view.window * this.#gates.share(slot)));
      places += Math.max(0, window - this.#shared.inFlight(slot));
    }
    return places;
  }
}

interface Taken {
  replica: ReplicaEntry;
  place: Place;
  options: AcquireOptions;
  queuedMs: number;
  /** Set when it waited. */
  entry?: Waiting;
}

class HeldPlace implements Lease {
  readonly replica: ReplicaEntry;
  readonly queuedMs: number;
  readonly probe: number | null;
  readonly explanation: Explanation | null;
  readonly #admission: Admission;
  readonly #state: PoolState;
  readonly #entry: Waiting | undefined;
  #promptTokens: number;
  readonly #answerTokens: number;
  #held = true;

  constructor(admission: Admission, state: PoolState, { replica, place, options, queuedMs, entry }: Taken) {
    this.replica = replica;
    this.queuedMs = queuedMs;
    this.probe = place.probe;
    this.explanation = options.explain === true ? state.scheduler.explain() : null;
    this.#admission = admission;
    this.#state = state;
    this.#entry = entry;
    this.#promptTokens = place.promptTokens;
    this.#answerTokens = place.answerTokens;
  }

  promptDone(): void {
    if (this.#promptTokens > 0) this.#admission.workDone(this.replica, this.#promptTokens);
    this.#promptTokens = 0;
  }

  settle(tokensUsed: number): void {
    if (this.#entry !== undefined) this.#state.queue.settle(this.#entry, tokensUsed);
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.promptDone();
    if (this.#answerTokens > 0) this.#admission.workDone(this.replica, this.#answerTokens);
    this.#admission.gaveBack(this.#state, this.replica);
  }
}

function newWaiting(
  options: AcquireOptions,
  more: Pick<Waiting, 'adapter' | 'sinceMs' | 'resolve' | 'reject'>,
): Waiting {
  const { demand, urgent, deadlineMs } = options;
  const { tenant, weight, priority } = demand.caller;
  const tokens = demand.promptTokens + demand.answerTokens;
  const ticket = urgent ? '' : demand.ticket();
  return { ...more, options, tenant, weight, priority, tokens, urgent, ticket, deadlineMs, heapAt: -1 };
}

function stopLeaving(state: PoolState): void {
  if (state.leaving !== null) clearTimeout(state.leaving);
  state.leaving = null;
}

function isAnyReady({ replicas }: PoolEntry): boolean {
  return replicas.some(({ view }) => view.state === 'ready');
}

/** Some replica serves, or is on its way (back). */
function mayComeBack(pool: PoolEntry): boolean {
  return pool.replicas.some(
    ({ view }) => !['stopped', 'stopping', 'draining', 'quarantined'].includes(view.state),
  );
}
