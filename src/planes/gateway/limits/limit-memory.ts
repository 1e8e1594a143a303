/** The memory in which all threads of a gateway keep count of limits: token buckets, and what is under way. */
import { LIMITED_MAX } from '../../../contract/limits.ts';
import { ConcurrencyCells } from '../../../decide/scheduling/limits/concurrency-cells.ts';
import { RateCells, sharedCells } from '../../../decide/scheduling/limits/rate-cells.ts';
import { PART_BYTES } from './limit-parts.ts';
import { holdsCell } from './limited.ts';

export interface LimitMemory {
  /** 64-bit, nanoseconds. */
  rates: SharedArrayBuffer;
  /** 32-bit: totals | rows by worker. The system gives it pages as they are written. */
  concurrency: SharedArrayBuffer;
  /** What of each limit is for this gateway, while there are others. */
  parts: SharedArrayBuffer;
}

/** Of either kind; each slot has two (limited.ts). */
const CELLS = 2 * LIMITED_MAX;

export function createLimitMemory(workersMax: number): LimitMemory {
  return {
    rates: new SharedArrayBuffer(CELLS * 8),
    concurrency: new SharedArrayBuffer((workersMax + 1) * CELLS * 4),
    parts: new SharedArrayBuffer(PART_BYTES),
  };
}

export function rateCellsOf({ rates }: LimitMemory): RateCells {
  return new RateCells(sharedCells(new BigInt64Array(rates)));
}

/** As one worker takes from them. */
export function concurrencyCellsOf({ concurrency }: LimitMemory, worker: number): ConcurrencyCells {
  return new ConcurrencyCells(new Int32Array(concurrency), CELLS, worker);
}

/** Whether no request holds anything of this slot. */
export function isSlotFree(memory: LimitMemory, slot: number): boolean {
  return concurrencyCellsOf(memory, 0).inFlight(holdsCell(slot)) === 0;
}

/** Nobody has used anything of this slot. The main thread alone calls it, before it assigns the slot. */
export function clearRates({ rates }: LimitMemory, slot: number): void {
  const cells = new BigInt64Array(rates);
  Atomics.store(cells, 2 * slot, 0n);
  Atomics.store(cells, 2 * slot + 1, 0n);
}
