/**
 * What one request costs in the queue (10,000 waiting, 100 tenants) and in the limits (three of them). Run:
 * `npx node bench/micro/queue-and-limits.ts`.
 */
import { ConcurrencyCells } from '../../src/decide/scheduling/limits/concurrency-cells.ts';
import { RateCells, sharedCells } from '../../src/decide/scheduling/limits/rate-cells.ts';
import { type BoundLimit, RequestLimits } from '../../src/decide/scheduling/limits/request-limits.ts';
import { FairQueue, type QueueEntry } from '../../src/decide/scheduling/queue/fair-queue.ts';
import { measure, print } from './measure.ts';

const queue = new FairQueue();
const entry = (call: number): QueueEntry => ({
  tenant: `t${call % 100}`,
  weight: 1 + (call % 3),
  tokens: 100 + (call % 700),
  priority: call % 3,
  urgent: false,
  ticket: '',
  deadlineMs: 1e12 + (call % 1000),
  heapAt: -1,
});
const WAITING = 10_000;
for (let call = 0; call < WAITING; call++) queue.offer(entry(call), 1e9, 0);
print(
  measure(`queue: offer, take and settle with ${WAITING} waiting`, 100_000, (call) => {
    queue.offer(entry(call), 1e9, call / 100);
    const taken = queue.take(() => true, call / 100);
    if (taken !== undefined) queue.settle(taken, 300);
  }),
);

const limits = new RequestLimits(
  new RateCells(sharedCells(new BigInt64Array(new SharedArrayBuffer(64)))),
  new ConcurrencyCells(new Int32Array(new SharedArrayBuffer(64)), 4, 0),
);
const limit = (kind: BoundLimit['kind'], cell: number): BoundLimit => ({
  kind,
  scope: 'key',
  subject: 'key "k"',
  cell,
  rate: { amount: 1e9, windowMs: 60_000 },
});
const all = [limit('requests', 0), limit('tokens', 1), limit('concurrency', 2)];
print(
  measure('limits: admit and settle, requests, tokens, concurrency', 100_000, (call) => {
    const verdict = limits.admit(all, 500, call);
    if (verdict.kind === 'admitted') limits.settle(verdict.reservation, 400, call);
  }),
);
