/**
 * Admits requests that may wait: lines of batches. They take places that clients leave free (decide/scheduling/pick-filler.ts),
 * have a queue of their own that is no part of the clients' queue and is never full, and are looked at from time to time and
 * when one of them ends, never when a client's request does: the path of clients does not pay for them.
 *
 * Owner of a waiting request is the queue; it leaves by exactly one of: a lease, its deadline, its sender's departure.
 */
import { BoundedQueue } from '../../base/bounded-queue.ts';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { GatewaySettings } from '../../contract/gateway-snapshot.ts';
import { CEILING_START } from '../../decide/scheduling/filler-ceiling.ts';
import { type FillerCandidate, pickFiller } from '../../decide/scheduling/pick-filler.ts';
import type { AcquireOptions, AdmissionOptions, Lease } from './admission.ts';
import { type FleetTable, type PoolEntry, type ReplicaEntry, runOf } from './fleet-table.ts';
import type { ReplicaGates } from './health/replica-gates.ts';
import { beingStopped, unknownModel } from './places/refusals.ts';
import type { SharedState } from './shared-state.ts';

interface Waiting {
  options: AcquireOptions;
  sinceMs: number;
  resolve(lease: Lease): void;
  reject(error: PlatformError): void;
}

/** While any wait, places that clients left are found this often. */
const SWEEP_MS = 10;
/**
 * While clients are served, a replica is given filler no faster than this, ms. Lines that begin together also end together, and
 * their prompts would stop everybody at once.
 */
const STAGGER_MS = 10;
/** Longest wait here; the sender asks again. Its connection says nothing meanwhile, so it is not for ever. */
const FILLER_WAIT_MS = 60_000;
/** More than the runner of batches has under way at once. */
const WAITING_MAX = 8_192;

type FillerAdmissionOptions = Pick<AdmissionOptions, 'shared' | 'clock' | 'table' | 'settings' | 'gates'>;

export class FillerAdmission {
  readonly #shared: SharedState;
  readonly #gates: ReplicaGates;
  readonly #clock: Clock;
  readonly #queues = new Map<string, BoundedQueue<Waiting>>();
  #table: FleetTable;
  #settings: GatewaySettings;
  #rotation = 0;
  /** By slot: when this worker gave it filler last. */
  readonly #givenMs = new Map<number, number>();
  #sweeper: NodeJS.Timeout | null = null;
  #closed = false;

  constructor({ shared, clock, table, settings, gates }: FillerAdmissionOptions) {
    this.#shared = shared;
    this.#gates = gates;
    this.#clock = clock;
    this.#table = table;
    this.#settings = settings;
  }

  update(table: FleetTable, settings: GatewaySettings): void {
    this.#table = table;
    this.#settings = settings;
    this.#pumpAll();
  }

  /** Rejects with `queue_timeout`, `model_not_found`, `shutting_down` or `client_closed`; never because others wait. */
  acquire(options: AcquireOptions, onCancel: (cancel: () => void) => void): Promise<Lease> {
    const pool = this.#table.find(options.model);
    if (pool === undefined) return Promise.reject(unknownModel(options.model, this.#table.names));
    if (this.#closed) return Promise.reject(beingStopped());
    const queue = this.#queueOf(pool);
    const sinceMs = this.#clock.monotonicMs();
    const lease = queue.size === 0 ? this.#take(pool, options, sinceMs) : null;
    if (lease !== null) return Promise.resolve(lease);
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { options, sinceMs, resolve, reject };
      if (!queue.push(waiting)) return reject(tooMany());
      onCancel(() => {
        if (!queue.remove(waiting)) return;
        reject(
          new PlatformError('client_closed', 'the sender left while its request waited for a free place'),
        );
      });
      this.#sweeper ??= setInterval(() => this.#pumpAll(), SWEEP_MS);
    });
  }

  get waiting(): number {
    let sum = 0;
    for (const queue of this.#queues.values()) sum += queue.size;
    return sum;
  }

  /** Refuses all that wait, and all that come: the sender finds another gateway. What runs goes on. */
  close(): void {
    this.#closed = true;
    for (const queue of this.#queues.values()) {
      for (let waiting = queue.shift(); waiting !== undefined; waiting = queue.shift())
        waiting.reject(beingStopped());
    }
    this.#stopSweeping();
  }

  #take(pool: PoolEntry, options: AcquireOptions, sinceMs: number): Lease | null {
    // Whoever waits is a client, and goes first.
    if (this.#shared.queued(pool.index) > 0) return null;
    const wallMs = this.#clock.wallMs();
    const nowMs = this.#clock.monotonicMs();
    const candidates = pool.replicas.map((replica) => this.#candidate(replica, { wallMs, nowMs }));
    const share = this.#settings.batches.fillerShare;
    const pick = pickFiller(candidates, { avoid: options.avoid, rotation: this.#rotation++, share });
    if (pick.kind !== 'picked') return null;
    const replica = pool.replicas[pick.index]!;
    // Another worker may have taken the place in between; the next look finds another.
    if (!this.#shared.tryAcquireFiller(replica.slot, replica.view.window)) return null;
    this.#givenMs.set(replica.slot, nowMs);
    return this.#lease(pool, replica, sinceMs);
  }

  #candidate(
    { view, slot }: ReplicaEntry,
    { wallMs, nowMs }: { wallMs: number; nowMs: number },
  ): FillerCandidate {
    const inFlight = this.#shared.inFlight(slot);
    const filler = this.#shared.fillerInFlight(slot);
    const clients = inFlight > filler;
    const tooSoon = clients && nowMs - (this.#givenMs.get(slot) ?? Number.NEGATIVE_INFINITY) < STAGGER_MS;
    const none = tooSoon || this.#shared.isListening(slot, wallMs);
    return {
      id: runOf(view),
      ready: view.state === 'ready',
      // What the breaker watches is for clients alone.
      ejected:
        this.#shared.isEjected(slot, wallMs) || this.#gates.isClosed(slot) || this.#gates.wantsProbe(slot),
      inFlight,
      window: view.window,
      filler,
      ceiling: none ? 0 : this.#shared.fillerCeiling(slot) || CEILING_START,
    };
  }

  #lease(pool: PoolEntry, replica: ReplicaEntry, sinceMs: number): Lease {
    let held = true;
    return {
      replica,
      queuedMs: this.#clock.monotonicMs() - sinceMs,
      probe: null,
      explanation: null,
      promptDone: () => {},
      settle: () => {},
      release: () => {
        if (!held) return;
        held = false;
        this.#shared.releaseFiller(replica.slot);
        // A client may wait for it, in this worker or another.
        if (this.#shared.queued(pool.index) > 0) this.#shared.wake();
        else if (this.waiting > 0) setImmediate(() => this.#pumpAll());
      },
    };
  }

  #pumpAll(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [model, queue] of this.#queues) {
      const pool = this.#table.find(model);
      /** Adapters that no replica has a place for now; others may have one elsewhere. */
      const full = new Set<string>();
      for (const waiting of [...queue]) {
        const asked = waiting.options.model;
        // As the request named it: an adapter is not on every replica of its pool.
        const seen = this.#table.find(asked);
        if (seen === undefined || seen.view !== pool?.view)
          leave(queue, waiting, unknownModel(asked, this.#table.names));
        else if (nowMs - waiting.sinceMs > FILLER_WAIT_MS) leave(queue, waiting, waitedTooLong(model));
        else if (seen.adapter === undefined || !full.has(seen.adapter)) {
          const lease = this.#take(seen, waiting.options, waiting.sinceMs);
          if (lease !== null) {
            queue.remove(waiting);
            waiting.resolve(lease);
          } else if (seen.adapter === undefined) break;
          else full.add(seen.adapter);
        }
      }
    }
    if (this.waiting === 0) this.#stopSweeping();
  }

  #stopSweeping(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  #queueOf(pool: PoolEntry): BoundedQueue<Waiting> {
    let queue = this.#queues.get(pool.view.model);
    if (queue === undefined) {
      queue = new BoundedQueue(WAITING_MAX);
      this.#queues.set(pool.view.model, queue);
    }
    return queue;
  }
}

function leave(queue: BoundedQueue<Waiting>, waiting: Waiting, error: PlatformError): void {
  if (queue.remove(waiting)) waiting.reject(error);
}

function waitedTooLong(model: string): PlatformError {
  const message = `clients left no place on a replica of "${model}" for ${FILLER_WAIT_MS / 1000} s; ask again`;
  return new PlatformError('queue_timeout', message, { retryAfterS: 1 });
}

function tooMany(): PlatformError {
  return new PlatformError('queue_timeout', `${WAITING_MAX} requests wait for free places already`, {
    retryAfterS: 1,
  });
}
