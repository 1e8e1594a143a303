/** Limits in shared memory under real threads: all workers begin at once, and the sum of what they admit is the limit. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import type { BoundLimit } from '../../src/decide/scheduling/limits/request-limits.ts';
import type { LimitWorkerData } from '../support/limit-worker.ts';

const WORKERS = 4;
const SUBJECTS = 4;
const ROUNDS = 5;

async function admittedBy(limits: BoundLimit[], requests: number): Promise<number[]> {
  const rates = new SharedArrayBuffer(8 * SUBJECTS);
  const concurrency = new SharedArrayBuffer(4 * SUBJECTS * (WORKERS + 1));
  const gate = new SharedArrayBuffer(4);
  const workers = Array.from({ length: WORKERS }, (_, worker) => {
    const workerData: LimitWorkerData = {
      rates,
      concurrency,
      gate,
      subjects: SUBJECTS,
      worker,
      requests: requests / WORKERS,
      limits,
    };
    return new Worker(new URL('../support/limit-worker.ts', import.meta.url), { workerData });
  });
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const answers = workers.map((worker) => once(worker, 'message'));
  const exits = workers.map((worker) => once(worker, 'exit'));
  Atomics.store(new Int32Array(gate), 0, 1);
  Atomics.notify(new Int32Array(gate), 0);
  const admitted = (await Promise.all(answers)).map(([count]) => count as number);
  await Promise.all(exits);
  return admitted;
}

const limit = (kind: BoundLimit['kind'], amount: number, cell: number): BoundLimit => ({
  kind,
  scope: 'key',
  subject: 'key "k"',
  cell,
  rate: { amount, windowMs: 60_000 },
});

it.each([
  'requests',
  'concurrency',
] as const)('admits exactly 100 of 1,000 requests against a limit of 100 %s over all threads', async (kind) => {
  for (let round = 0; round < ROUNDS; round++) {
    const admitted = await admittedBy([limit('tokens', 1e6, 0), limit(kind, 100, 1)], 1_000);
    expect(admitted.reduce((sum, count) => sum + count, 0)).toBe(100);
  }
});
