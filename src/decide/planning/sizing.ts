/** How many replicas an objective needs, for one set of costs: capacity first, then the smallest fleet that holds it. */
import type { Objective, Traffic } from '../../contract/planning.ts';
import { type FleetRun, runFleet, type Saturation, saturate } from './fleet-run.ts';
import type { EngineShape } from './planned-engine.ts';

/** Larger fleets are planned as equal parts of this size: beyond it, sharing one queue gains next to nothing. */
const PART_REPLICAS = 48;
/** The capacity is known to a few percent, and so near to it a queue grows for longer than is looked. */
const UTILISATION_MAX = 0.95;
/** An objective that does not hold with so many times the replicas that the load needs holds with no number. */
const SPARE_FACTOR_MAX = 16;

export interface Measured {
  replicas: number;
  utilisation: number;
  run: FleetRun;
  missed: 'slo-ttft' | 'slo-itl' | 'overload' | null;
}

export class Sizing {
  readonly saturation: Saturation;
  /** Fewest replicas that can do the work at all. */
  readonly least: number;
  readonly #shape: EngineShape;
  readonly #traffic: Traffic;
  readonly #objective: Objective;
  readonly #seed: number;
  readonly #known = new Map<number, Measured>();

  constructor(task: {
    shape: EngineShape;
    traffic: Traffic;
    objective: Objective;
    places: number;
    seed: number;
  }) {
    const { shape, traffic, objective, places, seed } = task;
    this.#shape = shape;
    this.#traffic = traffic;
    this.#objective = objective;
    this.#seed = seed;
    this.saturation = saturate(shape, traffic, places, seed);
    this.least = Math.ceil(traffic.rate / (this.saturation.rate * UTILISATION_MAX));
  }

  /** With another rate than the planned one. */
  under(replicas: number, rate: number): Measured {
    const parts = Math.ceil(replicas / PART_REPLICAS);
    const run = runFleet({
      shape: this.#shape,
      replicas: Math.floor(replicas / parts),
      traffic: { ...this.#traffic, rate: rate / parts },
      seed: this.#seed,
      durationMs: this.saturation.durationMs,
    });
    const utilisation = rate / (replicas * this.saturation.rate);
    return { replicas, utilisation, run, missed: this.#missed(run, utilisation) };
  }

  at(replicas: number): Measured {
    let measured = this.#known.get(replicas);
    if (measured === undefined) {
      measured = this.under(replicas, this.#traffic.rate);
      this.#known.set(replicas, measured);
    }
    return measured;
  }

  /** Null: no number does. */
  smallest(): number | null {
    let low = this.least - 1;
    let high = this.least;
    const most = Math.max(this.least + 8, this.least * SPARE_FACTOR_MAX);
    while (this.at(high).missed !== null) {
      low = high;
      if (high >= most) return null;
      high = Math.min(most, Math.max(high + 1, Math.ceil(high * 1.5)));
    }
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.at(middle).missed === null) high = middle;
      else low = middle;
    }
    return high;
  }

  /** Highest rate at which so many replicas hold the objective, to about 2 %; 0: none. */
  highestRate(replicas: number): number {
    let low = 0;
    let high = replicas * this.saturation.rate * UTILISATION_MAX;
    for (let round = 0; round < 6; round++) {
      const middle = (low + high) / 2;
      if (this.under(replicas, middle).missed === null) low = middle;
      else high = middle;
    }
    return low;
  }

  #missed({ ttft, itl }: FleetRun, utilisation: number): Measured['missed'] {
    const { ttftMs, itlMs, percentile } = this.#objective;
    if (utilisation > UTILISATION_MAX) return 'overload';
    if (itlMs !== null && itl.percentile(percentile) > itlMs) return 'slo-itl';
    return ttft.percentile(percentile) > ttftMs ? 'slo-ttft' : null;
  }
}
