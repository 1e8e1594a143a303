/**
 * What GPU telemetry says of each replica, in memory that all threads of a gateway share: the main thread writes, workers read.
 * Two 32-bit cells per slot, load and memory in ten-thousandths plus one; 0: not known.
 */
import { REPLICA_SLOTS_MAX } from '../../../decide/scheduling/pick/replica-columns.ts';
import type { GpuGauges } from '../../../wire/prometheus/gpu-gauges.ts';

const CELLS = 2;
export const GAUGE_BYTES = REPLICA_SLOTS_MAX * CELLS * 4;
const SCALE = 10_000;
const UNKNOWN = 0;

export class GaugeCells {
  readonly #cells: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Int32Array(memory);
  }

  /** 0 to 1; NaN: not known. */
  gpuLoad(slot: number): number {
    return this.#read(slot * CELLS);
  }

  /** 0 to 1; NaN: not known. */
  memoryUsage(slot: number): number {
    return this.#read(slot * CELLS + 1);
  }

  set(slot: number, { gpuLoad, memoryUsage }: GpuGauges): void {
    this.#write(slot * CELLS, gpuLoad);
    this.#write(slot * CELLS + 1, memoryUsage);
  }

  #read(cell: number): number {
    const found = Atomics.load(this.#cells, cell);
    return found === UNKNOWN ? Number.NaN : (found - 1) / SCALE;
  }

  #write(cell: number, value: number): void {
    Atomics.store(this.#cells, cell, Number.isNaN(value) ? UNKNOWN : Math.round(value * SCALE) + 1);
  }
}
