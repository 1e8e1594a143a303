/**
 * Token buckets that the worker threads of a gateway share, as GCRA: one 64-bit cell per bucket holds the theoretical arrival
 * time (TAT, monotonic nanoseconds), so that a charge is one compare-and-exchange. A bucket is full when TAT lies in the past
 * and empty when it lies a whole burst ahead. Invariant: charges never take a bucket below empty; only `adjust` may, when a
 * request used more than it reserved.
 *
 * All workers must use one clock with one origin. A cell of 0 is a full bucket.
 */

/** What stands in memory; tests put other workers between its steps. */
export interface AtomicCells {
  load(cell: number): bigint;
  /** Gives what was found; it was replaced when that is `expected`. */
  compareExchange(cell: number, expected: bigint, replacement: bigint): bigint;
}

export function sharedCells(memory: BigInt64Array): AtomicCells {
  return {
    load: (cell) => Atomics.load(memory, cell),
    compareExchange: (cell, expected, replacement) =>
      Atomics.compareExchange(memory, cell, expected, replacement),
  };
}

/** `amount` units per `windowMs`: so many at once, and refilled evenly. */
export interface Rate {
  amount: number;
  windowMs: number;
}

const NS_PER_MS = 1_000_000;

/** Nanoseconds in which the bucket refills by `units`; rounded up for the whole, so that small charges are never free. */
function costNs({ amount, windowMs }: Rate, units: number): bigint {
  if (units === 0) return 0n;
  return BigInt(Math.ceil((units * windowMs * NS_PER_MS) / amount));
}

function burstNs({ windowMs }: Rate): bigint {
  return BigInt(Math.round(windowMs * NS_PER_MS));
}

export function toNs(nowMs: number): bigint {
  return BigInt(Math.round(nowMs * NS_PER_MS));
}

export class RateCells {
  readonly #cells: AtomicCells;

  constructor(cells: AtomicCells) {
    this.#cells = cells;
  }

  /** Nanoseconds until `units` fit and `spared` are left, 0: they fit. Takes nothing. */
  waitNs(cell: number, rate: Rate, units: number, nowNs: bigint, spared = 0): bigint {
    const needed = costNs(rate, units) + costNs(rate, spared);
    const short = later(this.#cells.load(cell), nowNs) + needed - nowNs - burstNs(rate);
    return short > 0n ? short : 0n;
  }

  /** Takes `units` if `spared` are left then, or nothing at all; nanoseconds until they fit, 0: taken. */
  charge(cell: number, rate: Rate, units: number, nowNs: bigint, spared = 0): bigint {
    const cost = costNs(rate, units);
    const latest = nowNs + burstNs(rate) - costNs(rate, spared);
    for (;;) {
      const found = this.#cells.load(cell);
      const next = later(found, nowNs) + cost;
      if (next > latest) return next - latest;
      if (this.#cells.compareExchange(cell, found, next) === found) return 0n;
    }
  }

  /** Makes a charge of `reserved` units one of `used`, whatever the bucket says: the work is done. */
  adjust(cell: number, rate: Rate, reserved: number, used: number, nowNs: bigint): void {
    const change = costNs(rate, used) - costNs(rate, reserved);
    if (change === 0n) return;
    for (;;) {
      const found = this.#cells.load(cell);
      const next = later(found, nowNs) + change;
      if (this.#cells.compareExchange(cell, found, next) === found) return;
    }
  }

  /** How much of the bucket is used, 0 to 1, or more when something is owed. */
  usedRatio(cell: number, rate: Rate, nowNs: bigint): number {
    return Number(later(this.#cells.load(cell), nowNs) - nowNs) / Number(burstNs(rate));
  }

  /** Makes it what `change` says of it. */
  setUsedRatio(cell: number, rate: Rate, nowNs: bigint, change: (usedRatio: number) => number): void {
    for (;;) {
      const found = this.#cells.load(cell);
      const usedRatio = Number(later(found, nowNs) - nowNs) / Number(burstNs(rate));
      const next = nowNs + BigInt(Math.ceil(change(usedRatio) * Number(burstNs(rate))));
      if (this.#cells.compareExchange(cell, found, next) === found) return;
    }
  }

  /** Whole units left, and milliseconds until the bucket is full again. */
  read(cell: number, rate: Rate, nowNs: bigint): { remaining: number; resetMs: number } {
    const ahead = later(this.#cells.load(cell), nowNs) - nowNs;
    const free = Number(burstNs(rate) - ahead);
    const remaining = Math.floor((free * rate.amount) / (rate.windowMs * NS_PER_MS));
    return { remaining: Math.max(0, remaining), resetMs: Number(ahead) / NS_PER_MS };
  }
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
