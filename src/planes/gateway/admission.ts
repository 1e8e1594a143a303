/**
 * Admits attempts to replicas: picks one with room, or lets the request wait in a bounded queue with a deadline. Fair enough
 * between the workers of a gateway: whoever frees a place wakes the others before it looks into its own queue.
 *
 * Owner of a waiting request is the queue; it leaves by exactly one of: a lease, its deadline, its client's departure.
 */
import { BoundedQueue } from '../../base/bounded-queue.ts';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { PoolView, ReplicaView } from '../../contract/fleet.ts';
import type { GatewaySettings } from '../../contract/gateway-snapshot.ts';
import { type Pick, pickReplica } from '../../decide/scheduling/pick-replica.ts';
import { servesThisMachineOnly } from './authenticate.ts';
import type { FleetTable, PoolEntry, ReplicaEntry } from './fleet-table.ts';
import type { SharedState } from './shared-state.ts';

/** A place on a replica. `release` gives it back, once. */
export interface Lease {
  replica: ReplicaEntry;
  /** Time spent waiting for it. */
  queuedMs: number;
  release(): void;
}

export interface AcquireOptions {
  model: string;
  /** Runs of replicas (`runOf`) that failed this request before. */
  avoid: readonly string[];
  /** A stream that must go on: ahead of the queue, and never refused for its length. */
  urgent: boolean;
  /** Monotonic. */
  deadlineMs: number;
}

interface Waiting {
  options: AcquireOptions;
  /** Where it is counted in the shared state. */
  poolIndex: number;
  /** The adapter that it asks for; null: the model itself. All wait in one queue, in order. */
  adapter: string | null;
  sinceMs: number;
  resolve(lease: Lease): void;
  reject(error: PlatformError): void;
}

/** While requests wait, the queue is looked at this often besides the wake-ups: deadlines and ejections pass silently. */
const SWEEP_MS = 50;

export class Admission {
  readonly #shared: SharedState;
  readonly #clock: Clock;
  readonly #queues = new Map<string, BoundedQueue<Waiting>>();
  #table: FleetTable;
  #settings: GatewaySettings;
  #rotation = 0;
  #sweeper: NodeJS.Timeout | null = null;
  #listening = false;
  #stopping = false;
  /** Exponentially weighted mean of how long a lease is held, ms; for Retry-After. */
  #meanHoldMs = 500;

  constructor(shared: SharedState, clock: Clock, table: FleetTable, settings: GatewaySettings) {
    this.#shared = shared;
    this.#clock = clock;
    this.#table = table;
    this.#settings = settings;
  }

  update(table: FleetTable, settings: GatewaySettings): void {
    this.#table = table;
    this.#settings = settings;
    this.#pumpAll();
  }

  /**
   * Resolves with a place. Rejects with `saturated`, `no_replica`, `queue_timeout` or `model_not_found`.
   * `onCancel` hands out a function that takes the request out of the queue when its client leaves.
   */
  acquire(options: AcquireOptions, onCancel: (cancel: () => void) => void): Promise<Lease> {
    const pool = this.#table.find(options.model);
    if (pool === undefined) return Promise.reject(unknownModel(options.model, this.#table.names));
    const queue = this.#queueOf(pool);
    const now = this.#clock.monotonicMs();
    // Whoever arrives must not overtake those that wait, unless it is urgent.
    const pick = queue.size === 0 || options.urgent ? this.#take(pool, options, now) : null;
    if (pick !== null && typeof pick === 'object' && 'release' in pick) return Promise.resolve(pick);
    if (!this.#mayComeBack(pool)) return Promise.reject(noReplica(pool, this.#settings));
    if (this.#stopping && !isAnyReady(pool)) return Promise.reject(beingStopped());
    if (options.urgent) this.#shared.enqueue(pool.index);
    else if (!this.#shared.tryEnqueue(pool.index, this.#queueSizeMax(pool))) {
      return Promise.reject(this.#saturated(pool));
    }
    return new Promise((resolve, reject) => {
      const { adapter = null } = pool;
      const waiting = { options, poolIndex: pool.index, adapter, sinceMs: now, resolve, reject };
      if (options.urgent) queue.pushFront(waiting);
      else queue.push(waiting);
      onCancel(() => {
        if (!queue.remove(waiting)) return;
        this.#shared.dequeue(pool.index);
        reject(new PlatformError('client_closed', 'the client left while its request waited in the queue'));
      });
      this.#keepLooking();
    });
  }

  poolOf(model: string): PoolView | undefined {
    return this.#table.find(model)?.view;
  }

  get queued(): number {
    let sum = 0;
    for (const queue of this.#queues.values()) sum += queue.size;
    return sum;
  }

  /** The whole system stops: no replica becomes ready any more, so nobody waits for one. */
  stopWaiting(): void {
    this.#stopping = true;
    this.#pumpAll();
  }

  /** Refuses all that wait; the worker stops. */
  close(): void {
    for (const [model, queue] of this.#queues) {
      const pool = this.#table.find(model);
      for (let waiting = queue.shift(); waiting !== undefined; waiting = queue.shift()) {
        if (pool !== undefined) this.#shared.dequeue(pool.index);
        waiting.reject(beingStopped());
      }
    }
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  #take(pool: PoolEntry, options: AcquireOptions, sinceMs: number): Lease | Pick['kind'] {
    const wallMs = this.#clock.wallMs();
    for (;;) {
      const candidates = pool.replicas.map(({ view, slot }) => ({
        id: runOf(view),
        ready: view.state === 'ready',
        ejected: this.#shared.isEjected(slot, wallMs),
        inFlight: this.#shared.inFlight(slot),
        window: view.window,
      }));
      const pick = pickReplica(candidates, { avoid: options.avoid, rotation: this.#rotation++ });
      if (pick.kind !== 'picked') return pick.kind;
      const replica = pool.replicas[pick.index]!;
      // Another worker may have taken the last place in between: look again.
      if (this.#shared.tryAcquire(replica.slot, replica.view.window))
        return this.#lease(pool, replica, sinceMs);
    }
  }

  #lease(pool: PoolEntry, replica: ReplicaEntry, sinceMs: number): Lease {
    const takenMs = this.#clock.monotonicMs();
    let held = true;
    return {
      replica,
      queuedMs: takenMs - sinceMs,
      release: () => {
        if (!held) return;
        held = false;
        this.#meanHoldMs += 0.05 * (this.#clock.monotonicMs() - takenMs - this.#meanHoldMs);
        this.#shared.release(replica.slot);
        const queue = this.#queues.get(pool.view.model);
        if (this.#shared.queued(pool.index) > (queue?.size ?? 0)) this.#shared.wake();
        if (queue !== undefined && queue.size > 0) setImmediate(() => this.#pumpAll());
      },
    };
  }

  #pumpAll(): void {
    for (const [model, queue] of this.#queues) {
      const pool = this.#table.find(model);
      if (pool === undefined) this.#failAll(queue, unknownModel(model, this.#table.names));
      else this.#pump(pool, queue);
    }
    if (this.queued === 0 && this.#sweeper !== null) {
      clearInterval(this.#sweeper);
      this.#sweeper = null;
    }
  }

  #pump(pool: PoolEntry, queue: BoundedQueue<Waiting>): void {
    const now = this.#clock.monotonicMs();
    for (;;) {
      const expired = queue.take((waiting) => waiting.options.deadlineMs <= now);
      if (expired === undefined) break;
      this.#shared.dequeue(pool.index);
      const { adapter, sinceMs } = expired;
      const seen = adapter === null ? pool : (this.#table.find(adapter) ?? pool);
      expired.reject(this.#expired(seen, now - sinceMs));
    }
    if (this.#stopping && !isAnyReady(pool)) return this.#failAll(queue, beingStopped());
    /** Adapters that no replica has a place for now: whoever asks for one further behind gets none either. */
    const full = new Set<string>();
    for (const waiting of [...queue]) {
      const { adapter, options } = waiting;
      if (adapter !== null && full.has(adapter) && options.avoid.length === 0) continue;
      const seen = adapter === null ? pool : this.#table.find(adapter);
      const taken = seen?.view === pool.view ? this.#take(seen, options, waiting.sinceMs) : 'unknown';
      if (typeof taken !== 'string') {
        this.#leave(queue, waiting);
        waiting.resolve(taken);
      } else if (taken === 'unknown') {
        this.#leave(queue, waiting);
        waiting.reject(unknownModel(options.model, this.#table.names));
      } else if (taken === 'none-ready' && !this.#mayComeBack(pool)) {
        return this.#failAll(queue, noReplica(pool, this.#settings));
      } else if (adapter !== null && taken === 'none-ready' && !this.#mayComeBack(seen!)) {
        this.#leave(queue, waiting);
        waiting.reject(noReplica(seen!, this.#settings));
      } else if (options.avoid.length === 0) {
        // Nobody behind it is less choosy, but for those who ask for what other replicas have loaded.
        if (adapter === null) return;
        full.add(adapter);
      }
    }
  }

  #leave(queue: BoundedQueue<Waiting>, waiting: Waiting): void {
    queue.remove(waiting);
    this.#shared.dequeue(waiting.poolIndex);
  }

  #failAll(queue: BoundedQueue<Waiting>, error: PlatformError): void {
    for (let waiting = queue.shift(); waiting !== undefined; waiting = queue.shift()) {
      this.#shared.dequeue(waiting.poolIndex);
      waiting.reject(error);
    }
  }

  /** Some replica serves, or is on its way (back). */
  #mayComeBack(pool: PoolEntry): boolean {
    return pool.replicas.some(
      ({ view }) => !['stopped', 'stopping', 'draining', 'quarantined'].includes(view.state),
    );
  }

  #queueOf(pool: PoolEntry): BoundedQueue<Waiting> {
    let queue = this.#queues.get(pool.view.model);
    if (queue === undefined) {
      queue = new BoundedQueue(Number.POSITIVE_INFINITY);
      this.#queues.set(pool.view.model, queue);
    }
    return queue;
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

  /** A place that filler holds would be a client's: for each, one client more may wait, so that none is refused for filler. */
  #queueSizeMax(pool: PoolEntry): number {
    const filler = pool.replicas.reduce((sum, { slot }) => sum + this.#shared.fillerInFlight(slot), 0);
    return this.#settings.queueSizeMax + filler;
  }

  #retryAfterS(pool: PoolEntry): number {
    const places = pool.replicas
      .filter(({ view }) => view.state === 'ready')
      .reduce((sum, { view }) => sum + view.window, 0);
    const waitMs = (this.#shared.queued(pool.index) * this.#meanHoldMs) / Math.max(1, places);
    return Math.min(60, Math.max(0.5, waitMs / 1000));
  }

  #saturated(pool: PoolEntry): PlatformError {
    const { queueSizeMax } = this.#settings;
    return new PlatformError(
      'saturated',
      `the queue of model "${pool.view.model}" is full: ${queueSizeMax} requests wait already`,
      {
        retryAfterS: this.#retryAfterS(pool),
      },
    );
  }

  #expired(pool: PoolEntry, waitedMs: number): PlatformError {
    const ready = pool.replicas.filter(({ view }) => view.state === 'ready').length;
    const why =
      ready === 0
        ? statesOf(pool, servesThisMachineOnly(this.#settings))
        : `${ready} of ${pool.replicas.length} replicas are ready, and busy`;
    const message = `no place on a replica of "${pool.view.model}" within ${Math.round(waitedMs)} ms: ${why}`;
    return new PlatformError(ready === 0 ? 'no_replica' : 'queue_timeout', message, {
      retryAfterS: this.#retryAfterS(pool),
    });
  }
}

/** One life of a replica: what failed under one generation may be well under the next. */
export function runOf({ id, generation }: ReplicaView): string {
  return `${id}@${generation}`;
}

/** The name that stays with a request, whatever becomes of the alias that it used. */
export function poolName({ view, adapter }: PoolEntry): string {
  return adapter ?? view.model;
}

export function unknownModel(model: string, known: readonly string[]): PlatformError {
  const list = known.length === 0 ? 'none' : known.slice(0, 20).join(', ');
  return new PlatformError(
    'model_not_found',
    `model "${model.slice(0, 200)}" does not exist; known: ${list}`,
    { param: 'model' },
  );
}

function isAnyReady({ replicas }: PoolEntry): boolean {
  return replicas.some(({ view }) => view.state === 'ready');
}

function beingStopped(): PlatformError {
  return new PlatformError('shutting_down', 'the gateway is being stopped', { retryAfterS: 1 });
}

function noReplica(pool: PoolEntry, settings: GatewaySettings): PlatformError {
  const { adapter, view } = pool;
  const what = adapter === undefined ? '' : ` adapter "${adapter}"`;
  const message = `no replica of model "${view.model}" can serve${what}: ${statesOf(pool, servesThisMachineOnly(settings))}`;
  return new PlatformError('no_replica', message, { retryAfterS: 5 });
}

/** Each replica with its state; why, only for callers of this machine: reasons may name files and addresses. */
function statesOf({ view: { replicas: all }, replicas, adapter }: PoolEntry, withReasons: boolean): string {
  if (all.length === 0) return 'it has no replicas';
  return replicas
    .map(({ view: { id, state, reason, adapterProblems } }) => {
      const why = withReasons && reason !== '' ? ` (${reason})` : '';
      // It serves other names meanwhile.
      const failed = adapter !== undefined && state === 'stopped' && adapterProblems?.[adapter] !== undefined;
      return `${id} ${failed ? 'could not load it' : `is ${state}`}${why}`;
    })
    .join('; ');
}
