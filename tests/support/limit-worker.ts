/** A worker thread that sends all its requests against shared limits at once, and says how many were admitted. */
import { parentPort, workerData } from 'node:worker_threads';
import { ConcurrencyCells } from '../../src/decide/scheduling/limits/concurrency-cells.ts';
import { RateCells, sharedCells } from '../../src/decide/scheduling/limits/rate-cells.ts';
import { type BoundLimit, RequestLimits } from '../../src/decide/scheduling/limits/request-limits.ts';

export interface LimitWorkerData {
  rates: SharedArrayBuffer;
  concurrency: SharedArrayBuffer;
  /** 0 until all workers may begin. */
  gate: SharedArrayBuffer;
  subjects: number;
  worker: number;
  requests: number;
  limits: BoundLimit[];
}

const { rates, concurrency, gate, subjects, worker, requests, limits } = workerData as LimitWorkerData;
const taken = new RequestLimits(
  new RateCells(sharedCells(new BigInt64Array(rates))),
  new ConcurrencyCells(new Int32Array(concurrency), subjects, worker),
);
parentPort?.postMessage('ready');
Atomics.wait(new Int32Array(gate), 0, 0);
let admitted = 0;
for (let request = 0; request < requests; request++) {
  if (taken.admit(limits, 10, 0).kind === 'admitted') admitted++;
}
parentPort?.postMessage(admitted);
