import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchScheduler, type ScheduledSequence, type SchedulerLimits } from './batch-scheduler.ts';

const LIMITS: SchedulerLimits = {
  maxNumSeqs: 4,
  maxBatchedTokens: 64,
  blockSize: 16,
  numBlocks: 100,
  maxWaiting: 8,
};

const schedulerOf = (limits: Partial<SchedulerLimits> = {}) =>
  new BatchScheduler<ScheduledSequence>({ ...LIMITS, ...limits });
const prompt = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);
const sequence = (length: number, from = 0, priority = 0): ScheduledSequence => ({
  tokens: prompt(length, from),
  promptLength: length,
  priority,
  computed: 0,
  held: false,
  holding: { private: 0, shared: [] },
  hashes: [],
});

/** One step; sequences that yield get a token. */
function step(scheduler: BatchScheduler<ScheduledSequence>, preemptions = 0) {
  const plan = scheduler.plan(preemptions);
  scheduler.complete(plan);
  for (const { sequence, yieldsToken } of plan.work) {
    if (yieldsToken) sequence.tokens.push(sequence.tokens.length * 7);
  }
  return plan;
}

describe('BatchScheduler', () => {
  it('admits while there are places and token budget, in order', () => {
    const scheduler = schedulerOf();
    for (let i = 0; i < 6; i++) scheduler.add(sequence(10, 1000 * i));
    expect(step(scheduler)).toMatchObject({ prefillTokens: 40, decodeBatch: 0 });
    expect([scheduler.running.length, scheduler.waiting.length]).toEqual([4, 2]);
    expect(step(scheduler)).toMatchObject({ prefillTokens: 0, decodeBatch: 4, decodeContext: 44 });
  });

  it('cuts a long prompt into chunks, and yields a token only after the last one', () => {
    const scheduler = schedulerOf();
    scheduler.add(sequence(150));
    const yields = [step(scheduler), step(scheduler), step(scheduler), step(scheduler)].map((plan) => [
      plan.prefillTokens,
      plan.work[0]?.yieldsToken,
    ]);
    expect(yields).toEqual([
      [64, false],
      [64, false],
      [22, true],
      [0, true],
    ]);
  });

  it('lets decodes go on beside the chunks of a long prompt', () => {
    const scheduler = schedulerOf();
    scheduler.add(sequence(10));
    step(scheduler);
    scheduler.add(sequence(150, 1000));
    expect(step(scheduler)).toMatchObject({ prefillTokens: 63, decodeBatch: 1 });
  });

  it('preempts the latest when blocks run out, and computes it again later', () => {
    const scheduler = schedulerOf({ numBlocks: 4, maxBatchedTokens: 256 });
    const [first, second] = [sequence(30), sequence(30, 1000)];
    scheduler.add(first);
    scheduler.add(second);
    step(scheduler);
    expect(scheduler.pool.inUse).toBe(4);
    step(scheduler);
    step(scheduler);
    const plan = step(scheduler);
    expect(plan.preempted).toEqual([second]);
    expect(scheduler.preemptionsTotal).toBe(1);
    expect(scheduler.waiting).toEqual([second]);
    scheduler.remove(first);
    expect(step(scheduler).work[0]?.sequence).toBe(second);
  });

  it('holds the queue for ever behind a request that is larger than the cache', () => {
    const scheduler = schedulerOf({ numBlocks: 2, maxBatchedTokens: 256 });
    scheduler.add(sequence(100));
    scheduler.add(sequence(5, 1000));
    for (let i = 0; i < 5; i++) expect(step(scheduler).work).toEqual([]);
    expect([scheduler.running.length, scheduler.waiting.length]).toEqual([0, 2]);
  });

  it('finds the cached prefix of an earlier prompt, but computes at least its last token', () => {
    const scheduler = schedulerOf();
    const first = sequence(48);
    scheduler.add(first);
    step(scheduler);
    scheduler.remove(first);
    expect(scheduler.pool.inUse).toBe(0);
    scheduler.add(sequence(48));
    expect(step(scheduler).prefillTokens).toBe(16);
    expect([scheduler.prefixQueriesTotal, scheduler.prefixHitsTotal]).toEqual([96, 32]);
  });

  it('forgets the block that was unused for longest when it needs the place', () => {
    const scheduler = schedulerOf({ numBlocks: 4 });
    for (const from of [0, 1000, 2000]) {
      const next = sequence(32, from);
      scheduler.add(next);
      step(scheduler);
      scheduler.remove(next);
    }
    scheduler.add(sequence(32, 2000));
    step(scheduler);
    expect(scheduler.prefixHitsTotal).toBe(16);
    scheduler.add(sequence(32, 0));
    step(scheduler);
    expect(scheduler.prefixHitsTotal).toBe(16);
  });

  it('serves lower priority numbers first', () => {
    const scheduler = schedulerOf({ maxNumSeqs: 1 });
    const [late, urgent] = [sequence(5, 0, 0), sequence(5, 1000, -1)];
    scheduler.add(late);
    scheduler.add(urgent);
    step(scheduler);
    expect(scheduler.running).toEqual([urgent]);
  });

  it('keeps a held sequence in its place without computing it', () => {
    const scheduler = schedulerOf();
    const [held, other] = [sequence(5), sequence(5, 1000)];
    scheduler.add(held);
    scheduler.add(other);
    step(scheduler);
    held.held = true;
    expect(step(scheduler).work.map(({ sequence }) => sequence)).toEqual([other]);
    expect(scheduler.running).toHaveLength(2);
  });

  it('preempts beyond need when told to', () => {
    const scheduler = schedulerOf();
    for (let i = 0; i < 3; i++) scheduler.add(sequence(5, 1000 * i));
    step(scheduler);
    expect(step(scheduler, 2).preempted).toHaveLength(2);
    expect([scheduler.running.length, scheduler.waiting.length]).toEqual([1, 2]);
  });

  it('never uses more blocks, places or tokens than it has, and loses no sequence', () => {
    const action = fc.oneof(
      fc.record({ add: fc.integer({ min: 1, max: 120 }), from: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ remove: fc.nat(20) }),
      fc.record({ preempt: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const scheduler = schedulerOf({ numBlocks: 12, maxNumSeqs: 3 });
        const live: ScheduledSequence[] = [];
        for (const next of actions) {
          if ('add' in next && scheduler.canAccept) {
            live.push(sequence(next.add, next.from * 1000));
            scheduler.add(live[live.length - 1] as ScheduledSequence);
          } else if ('remove' in next && live.length > 0) {
            scheduler.remove(live.splice(next.remove % live.length, 1)[0] as ScheduledSequence);
          }
          const plan = step(scheduler, 'preempt' in next ? next.preempt : 0);
          const computed = plan.work.reduce((sum, { chunk }) => sum + chunk, 0);
          const held = live.reduce((sum, { holding }) => sum + holding.private, 0);
          expect(computed).toBeLessThanOrEqual(LIMITS.maxBatchedTokens);
          expect(plan.prefillTokens + plan.decodeBatch).toBe(computed);
          expect(scheduler.running.length).toBeLessThanOrEqual(3);
          expect(scheduler.pool.inUse).toBeLessThanOrEqual(12);
          expect(scheduler.pool.inUse).toBeGreaterThanOrEqual(held);
          expect(new Set([...scheduler.running, ...scheduler.waiting])).toEqual(new Set(live));
        }
        for (const rest of live) scheduler.remove(rest);
        expect(scheduler.pool.inUse).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
