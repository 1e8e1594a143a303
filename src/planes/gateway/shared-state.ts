/**
 * What the worker threads of one gateway count together: in-flight and queue counts, tokens of work, and ejections, in
 * one SharedArrayBuffer. Each worker has a row of its own beside the totals, so that the row of a worker that died can be taken
 * back. Nothing on the request path sends a message.
 *
 * Layout (32-bit integers): totals | rows by worker | ejections and ends of listening (64-bit, wall milliseconds) |
 * ceilings of filler | wake counter | turns of workers per pool.
 */
import { REPLICA_SLOTS_MAX } from '../../decide/scheduling/pick/replica-columns.ts';

export const REPLICA_SLOTS = REPLICA_SLOTS_MAX;
export const POOL_SLOTS = 128;
export const WORKERS_MAX = 128;

/** Cells of a row: in flight per replica, queued per pool, filler in flight and tokens of work per replica, requests. */
const ROW_CELLS = 3 * REPLICA_SLOTS + POOL_SLOTS + 1;
const FILLER_AT = REPLICA_SLOTS + POOL_SLOTS;
const WORK_AT = FILLER_AT + REPLICA_SLOTS;
const REQUESTS_CELL = WORK_AT + REPLICA_SLOTS;
/** 64-bit cells stand at multiples of 8. */
const EJECTIONS_AT = Math.ceil(((WORKERS_MAX + 1) * ROW_CELLS * 4) / 8) * 8;
const LISTENING_AT = EJECTIONS_AT + REPLICA_SLOTS * 8;
const CEILINGS_AT = LISTENING_AT + REPLICA_SLOTS * 8;
const WAKE_AT = CEILINGS_AT + REPLICA_SLOTS * 4;

const TURNS_AT = WAKE_AT + 8;

export const COUNT_BYTES = TURNS_AT + WORKERS_MAX * POOL_SLOTS * 4;

interface SharedCounts {
  counts: SharedArrayBuffer;
}

export class SharedState {
  readonly #cells: Int32Array;
  readonly #ejections: BigInt64Array;
  readonly #listening: BigInt64Array;
  readonly #ceilings: Int32Array;
  readonly #wake: Int32Array;
  /** By worker and pool: what was served from its queue, by weight. Wraps around: only differences count. */
  readonly #turns: Int32Array;
  readonly #worker: number;
  readonly #row: number;

  /** @param worker index of the calling worker, 0 to WORKERS_MAX - 1. */
  constructor({ counts: memory }: SharedCounts, worker: number) {
    this.#cells = new Int32Array(memory, 0, (WORKERS_MAX + 1) * ROW_CELLS);
    this.#ejections = new BigInt64Array(memory, EJECTIONS_AT, REPLICA_SLOTS);
    this.#listening = new BigInt64Array(memory, LISTENING_AT, REPLICA_SLOTS);
    this.#ceilings = new Int32Array(memory, CEILINGS_AT, REPLICA_SLOTS);
    this.#wake = new Int32Array(memory, WAKE_AT, 1);
    this.#turns = new Int32Array(memory, TURNS_AT, WORKERS_MAX * POOL_SLOTS);
    this.#worker = worker;
    this.#row = (worker + 1) * ROW_CELLS;
  }

  inFlight(slot: number): number {
    return Atomics.load(this.#cells, slot);
  }

  /** Takes a place on a replica; false when its window is full. Exact over all workers. */
  tryAcquire(slot: number, window: number): boolean {
    for (;;) {
      const found = Atomics.load(this.#cells, slot);
      if (found >= window) return false;
      if (Atomics.compareExchange(this.#cells, slot, found, found + 1) !== found) continue;
      Atomics.add(this.#cells, this.#row + slot, 1);
      return true;
    }
  }

  release(slot: number): void {
    this.#add(slot, -1);
  }

  /** Tokens of work in flight on a replica: prompts to be read and answers to be written. */
  work(slot: number): number {
    return Atomics.load(this.#cells, WORK_AT + slot);
  }

  /** @param tokens whole; below 0 when work is done. */
  addWork(slot: number, tokens: number): void {
    this.#add(WORK_AT + slot, tokens);
  }

  /** Of `inFlight`: requests that might have waited. */
  fillerInFlight(slot: number): number {
    return Atomics.load(this.#cells, FILLER_AT + slot);
  }

  /** Takes a place for a request that may wait; false when the window is full. */
  tryAcquireFiller(slot: number, window: number): boolean {
    // Counted first: in between it looks like one client less, never like one more.
    this.#add(FILLER_AT + slot, 1);
    if (this.tryAcquire(slot, window)) return true;
    this.#add(FILLER_AT + slot, -1);
    return false;
  }

  releaseFiller(slot: number): void {
    this.#add(slot, -1);
    this.#add(FILLER_AT + slot, -1);
  }

  /** What a worker found last; 0 when none has. */
  fillerCeiling(slot: number): number {
    return Atomics.load(this.#ceilings, slot);
  }

  setFillerCeiling(slot: number, ceiling: number): void {
    Atomics.store(this.#ceilings, slot, ceiling);
  }

  /** No filler goes to the replica until then. */
  listen(slot: number, untilWallMs: number): void {
    Atomics.store(this.#listening, slot, BigInt(Math.round(untilWallMs)));
  }

  isListening(slot: number, wallMs: number): boolean {
    return Atomics.load(this.#listening, slot) > BigInt(Math.round(wallMs));
  }

  queued(pool: number): number {
    return Atomics.load(this.#cells, REPLICA_SLOTS + pool);
  }

  queuedByMe(pool: number): number {
    return Atomics.load(this.#cells, this.#row + REPLICA_SLOTS + pool);
  }

  /** Another worker has requests waiting for this pool, and was served less than this one: what comes free is its own. */
  isOthersTurn(pool: number): boolean {
    const own = this.#turn(this.#worker, pool);
    for (let worker = 0; worker < WORKERS_MAX; worker++) {
      if (this.#waitsElsewhere(worker, pool) && ((this.#turn(worker, pool) - own) | 0) < 0) return true;
    }
    return false;
  }

  /** Served from this worker's queue. */
  tookTurn(pool: number, cost: number): void {
    const cell = this.#worker * POOL_SLOTS + pool;
    Atomics.store(this.#turns, cell, (Atomics.load(this.#turns, cell) + cost) | 0);
  }

  /** This worker's queue was empty and is not any more: it saved up nothing meanwhile, and stands just behind the others that wait. */
  joinTurns(pool: number): void {
    const own = this.#turn(this.#worker, pool);
    let ahead = 0;
    let least: number | null = null;
    for (let worker = 0; worker < WORKERS_MAX; worker++) {
      const difference = (this.#turn(worker, pool) - own) | 0;
      ahead = Math.max(ahead, difference);
      if (this.#waitsElsewhere(worker, pool)) least = Math.min(least ?? difference, difference);
    }
    const behind = least === null ? ahead : least + 1;
    if (behind > 0) this.tookTurn(pool, behind);
  }

  #waitsElsewhere(worker: number, pool: number): boolean {
    const row = (worker + 1) * ROW_CELLS;
    return worker !== this.#worker && Atomics.load(this.#cells, row + REPLICA_SLOTS + pool) > 0;
  }

  #turn(worker: number, pool: number): number {
    return Atomics.load(this.#turns, worker * POOL_SLOTS + pool);
  }

  /** Takes a place in the queue of a pool; false when it is full. */
  tryEnqueue(pool: number, capacity: number): boolean {
    if (this.#addTotal(REPLICA_SLOTS + pool, 1) > capacity) {
      this.#addTotal(REPLICA_SLOTS + pool, -1);
      return false;
    }
    Atomics.add(this.#cells, this.#row + REPLICA_SLOTS + pool, 1);
    return true;
  }

  /** For work that was admitted before: always taken. */
  enqueue(pool: number): void {
    this.#add(REPLICA_SLOTS + pool, 1);
  }

  dequeue(pool: number): void {
    this.#add(REPLICA_SLOTS + pool, -1);
  }

  requests(): number {
    return Atomics.load(this.#cells, REQUESTS_CELL);
  }

  addRequests(change: 1 | -1): void {
    this.#add(REQUESTS_CELL, change);
  }

  eject(slot: number, untilWallMs: number): void {
    Atomics.store(this.#ejections, slot, BigInt(Math.round(untilWallMs)));
  }

  isEjected(slot: number, wallMs: number): boolean {
    return Atomics.load(this.#ejections, slot) > BigInt(Math.round(wallMs));
  }

  /** Tells workers that wait for a place that one may be free. */
  wake(): void {
    Atomics.add(this.#wake, 0, 1);
    Atomics.notify(this.#wake, 0);
  }

  /** Resolves at the next `wake` of any worker. */
  nextWake(): Promise<unknown> {
    const result = Atomics.waitAsync(this.#wake, 0, Atomics.load(this.#wake, 0));
    return result.async ? result.value : Promise.resolve(result.value);
  }

  /** Gives back all that a dead worker held. */
  static reclaim(memory: SharedCounts, worker: number): void {
    const cells = new Int32Array(memory.counts, 0, (WORKERS_MAX + 1) * ROW_CELLS);
    const row = (worker + 1) * ROW_CELLS;
    for (let cell = 0; cell < ROW_CELLS; cell++) {
      const held = Atomics.exchange(cells, row + cell, 0);
      if (held !== 0) Atomics.sub(cells, cell, held);
    }
    new SharedState(memory, worker).wake();
  }

  #add(cell: number, change: number): void {
    Atomics.add(this.#cells, this.#row + cell, change);
    this.#addTotal(cell, change);
  }

  /** The total after the change. */
  #addTotal(cell: number, change: number): number {
    return Atomics.add(this.#cells, cell, change) + change;
  }
}
