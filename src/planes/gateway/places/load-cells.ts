/**
 * How the threads of a gateway fare, and what follows for its queues, in memory that they share: each worker writes how late its
 * event loop was and how long it collected garbage, whoever admits writes how long requests waited and how many were refused;
 * the main thread reads all of it a few times a second and writes the limit of the queues.
 *
 * 32-bit cells: limit in thousandths of the configured length, plus one (0: as configured) | longest wait, ms | per worker: delay
 * of the event loop (p99) and garbage collection, µs | refused requests per pool.
 */
import { WORKERS_MAX } from '../shared-state.ts';

const LIMIT = 0;
const WAITED = 1;
const WORKERS_AT = 2;
const REFUSED_AT = WORKERS_AT + 2 * WORKERS_MAX;
const POOLS_MAX = 128;
export const LOAD_BYTES = (REFUSED_AT + POOLS_MAX) * 4;

/** Since it was read last. */
export interface LoadReading {
  eventLoopDelayMs: number;
  /** Of the thread that collected longest. */
  gcPauseMs: number;
  longestWaitMs: number;
}

export class LoadCells {
  readonly #cells: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  /** Share of their configured length that queues may have, 0 to 1. */
  get queueShare(): number {
    const found = Atomics.load(this.#cells, LIMIT);
    return found === 0 ? 1 : (found - 1) / 1_000;
  }

  set queueShare(share: number) {
    Atomics.store(this.#cells, LIMIT, Math.round(share * 1_000) + 1);
  }

  waited(ms: number): void {
    this.#raise(WAITED, Math.round(ms));
  }

  refused(pool: number): void {
    Atomics.add(this.#cells, REFUSED_AT + pool, 1);
  }

  /** Ever; wraps after two thousand million. */
  refusals(pool: number): number {
    return Atomics.load(this.#cells, REFUSED_AT + pool);
  }

  reportWorker(worker: number, { eventLoopDelayMs, gcPauseMs }: Omit<LoadReading, 'longestWaitMs'>): void {
    this.#raise(WORKERS_AT + 2 * worker, Math.round(eventLoopDelayMs * 1_000));
    Atomics.add(this.#cells, WORKERS_AT + 2 * worker + 1, Math.round(gcPauseMs * 1_000));
  }

  /** The worst of all workers; what was read is forgotten. */
  read(): LoadReading {
    let delay = 0;
    let pause = 0;
    for (let worker = 0; worker < WORKERS_MAX; worker++) {
      delay = Math.max(delay, Atomics.exchange(this.#cells, WORKERS_AT + 2 * worker, 0));
      pause = Math.max(pause, Atomics.exchange(this.#cells, WORKERS_AT + 2 * worker + 1, 0));
    }
    const longestWaitMs = Atomics.exchange(this.#cells, WAITED, 0);
    return { eventLoopDelayMs: delay / 1_000, gcPauseMs: pause / 1_000, longestWaitMs };
  }

  #raise(cell: number, value: number): void {
    for (;;) {
      const found = Atomics.load(this.#cells, cell);
      if (found >= value || Atomics.compareExchange(this.#cells, cell, found, value) === found) return;
    }
  }
}
