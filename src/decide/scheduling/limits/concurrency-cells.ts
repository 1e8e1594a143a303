/**
 * Counts of what is in flight per subject, shared by the worker threads of a gateway: totals, and a row per worker beside
 * them, so that what a worker held is given back when it dies. Exact over all workers.
 */
export class ConcurrencyCells {
  readonly #cells: Int32Array;
  readonly #subjects: number;
  readonly #row: number;

  /** @param cells (workers + 1) x subjects, zeros at first. */
  constructor(cells: Int32Array, subjects: number, worker: number) {
    this.#cells = cells;
    this.#subjects = subjects;
    this.#row = (worker + 1) * subjects;
    if (this.#row + subjects > cells.length) {
      throw new RangeError(`worker ${worker} has no row in ${cells.length} cells for ${subjects} subjects`);
    }
  }

  inFlight(subject: number): number {
    return Atomics.load(this.#cells, subject);
  }

  tryAcquire(subject: number, most: number): boolean {
    for (;;) {
      const found = Atomics.load(this.#cells, subject);
      if (found >= most) return false;
      if (Atomics.compareExchange(this.#cells, subject, found, found + 1) !== found) continue;
      Atomics.add(this.#cells, this.#row + subject, 1);
      return true;
    }
  }

  release(subject: number): void {
    Atomics.sub(this.#cells, this.#row + subject, 1);
    Atomics.sub(this.#cells, subject, 1);
  }

  /** Gives back all that this worker held. */
  reclaim(): void {
    for (let subject = 0; subject < this.#subjects; subject++) {
      const held = Atomics.exchange(this.#cells, this.#row + subject, 0);
      if (held !== 0) Atomics.sub(this.#cells, subject, held);
    }
  }
}
