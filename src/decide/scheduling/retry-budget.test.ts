import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RETRY_BUDGET_CELLS, RetryBudget } from './retry-budget.ts';

/** What calm times save up, and a new gateway has. */
const SAVED = 10;

const budget = () => new RetryBudget(new Int32Array(new SharedArrayBuffer(4 * RETRY_BUDGET_CELLS)));

it('keeps retries to their share of requests, however fast they fail (property)', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 400 }), fc.constantFrom(0, 0.1, 0.2, 0.5), (perSecond, ratio) => {
      const retries = budget();
      let made = 0;
      const requests = 20 * perSecond;
      for (let request = 0; request < requests; request++) {
        const nowMs = 1 + (request * 1_000) / perSecond;
        retries.requestStarted(ratio);
        for (let attempt = 0; attempt < 3; attempt++) if (retries.tryRetry(nowMs)) made++;
      }
      const reserve = Math.ceil(20_000 / 3_000);
      expect(made).toBeLessThanOrEqual(ratio * requests + SAVED + reserve);
    }),
    { numRuns: 100 },
  );
});

it('lets a gateway with little traffic retry once in a while', () => {
  const retries = budget();
  for (let saved = 0; saved < SAVED; saved++) expect(retries.tryRetry(0)).toBe(true);
  expect([
    retries.tryRetry(2_000),
    retries.tryRetry(4_000),
    retries.tryRetry(6_999),
    retries.tryRetry(7_000),
  ]).toEqual([false, true, false, true]);
});

it('saves up ten retries in calm times, and no more', () => {
  const retries = budget();
  for (let request = 0; request < 10_000; request++) retries.requestStarted(0.2);
  let made = 0;
  while (retries.tryRetry(5)) made++;
  expect(made).toBe(SAVED);
});
