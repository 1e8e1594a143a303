import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../base/clock.ts';
import type { SharedCharge, SharedLimits, SharedTake } from '../../../contract/ports/shared-limits.ts';
import { type BoundLimit, RequestLimits } from '../../../decide/scheduling/limits/request-limits.ts';
import { LimitHold } from './limit-hold.ts';
import { concurrencyCellsOf, createLimitMemory, rateCellsOf } from './limit-memory.ts';
import { SharedTaking } from './shared-taking.ts';

const limit = (kind: BoundLimit['kind'], amount: number, cell: number): BoundLimit => ({
  kind,
  scope: 'key',
  subject: 'key "ci"',
  cell,
  rate: { amount, windowMs: 60_000 },
});

const REQUESTS = limit('requests', 10, 0);
const TOKENS = limit('tokens', 1_000, 1);
const AT_ONCE = limit('concurrency', 2, 0);
const ALL = [REQUESTS, TOKENS, AT_ONCE];

class FakeShared implements SharedLimits {
  readonly gateways = 4;
  answer: SharedTake | Error = {
    refused: null,
    readings: [
      { remaining: 9, resetMs: 6_000 },
      { remaining: 900, resetMs: 6_000 },
    ],
  };
  taken: SharedCharge[][] = [];
  adjusted: [id: string, units: number, used: number][] = [];

  async take(charges: readonly SharedCharge[]): Promise<SharedTake> {
    this.taken.push([...charges]);
    if (this.answer instanceof Error) throw this.answer;
    return this.answer;
  }

  adjust(charges: Parameters<SharedLimits['adjust']>[0]): void {
    for (const { rate, units, used } of charges) this.adjusted.push([rate.id, units, used]);
  }

  close(): void {}
}

function world() {
  const memory = createLimitMemory(1);
  const state = new RequestLimits(rateCellsOf(memory), concurrencyCellsOf(memory, 0));
  const clock: Clock = { ...systemClock, machineMs: () => 0 };
  const shared = new FakeShared();
  let alone = 0;
  const taking = new SharedTaking({ state, shared, onAlone: () => alone++, machineMs: clock.machineMs });
  const take = async (tokens: number, limits = ALL) => {
    const hold = new LimitHold(state, clock, limits);
    return { hold, verdict: await taking.take({ limits, tokens, sparedRatio: 0, hold }) };
  };
  return { shared, take, state, alone: () => alone };
}

const atOnce = (state: RequestLimits) => 2 - state.remaining(AT_ONCE, 0).remaining;

describe('rates that gateways share', () => {
  it('are taken there and adjusted there, and what runs at once is counted here', async () => {
    const { shared, take, state } = world();
    const { hold, verdict } = await take(100);
    expect([verdict.kind, atOnce(state)]).toEqual(['admitted', 1]);
    expect(shared.taken[0]).toMatchObject([
      { rate: { id: 'requests:key "ci"', amount: 10 }, units: 1 },
      { rate: { id: 'tokens:key "ci"', amount: 1_000 }, units: 100 },
    ]);
    expect(hold.headers('openai')).toMatchObject({
      'x-ratelimit-remaining-requests': '9',
      'x-ratelimit-remaining-tokens': '900',
    });
    hold.settle(30);
    hold.settle(500);
    expect(shared.adjusted).toEqual([
      ['requests:key "ci"', 1, 1],
      ['tokens:key "ci"', 100, 30],
    ]);
    expect(atOnce(state)).toBe(0);
  });

  it('are given back whole when no engine was reached', async () => {
    const { shared, take } = world();
    (await take(100)).hold.settle(null);
    expect(shared.adjusted.map(([, , used]) => used)).toEqual([0, 0]);
  });

  it('refuse with the limit that must be waited for, and hold nothing then', async () => {
    const { shared, take, state } = world();
    shared.answer = {
      refused: { index: 1, retryAfterMs: 7_000 },
      readings: [
        { remaining: 5, resetMs: 1 },
        { remaining: 3, resetMs: 1 },
      ],
    };
    const { hold, verdict } = await take(100);
    expect(verdict).toEqual({ kind: 'refused', limit: TOKENS, retryAfterMs: 7_000 });
    expect([atOnce(state), hold.read(TOKENS).remaining]).toEqual([0, 3]);
    hold.settle(null);
    expect(shared.adjusted).toEqual([]);
  });

  it('are not asked for what is too large, or has no place', async () => {
    const { shared, take } = world();
    expect((await take(1_001)).verdict).toMatchObject({ kind: 'too-large', limit: TOKENS, units: 1_001 });
    await take(1);
    await take(1);
    expect((await take(1)).verdict).toMatchObject({ kind: 'refused', limit: AT_ONCE });
    expect(shared.taken).toHaveLength(2);
  });

  it('become a quarter of the limit for each of four gateways while nobody answers', async () => {
    const { shared, take, state, alone } = world();
    shared.answer = new Error('away');
    const rates = [REQUESTS, TOKENS];
    const first = await take(100, rates);
    expect(first.verdict.kind).toBe('admitted');
    expect(first.hold.headers('openai')).toMatchObject({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-tokens': '150',
    });
    // Larger than the share: all of it, once nobody uses it, and the rest is owed.
    expect((await take(600, rates)).verdict).toMatchObject({ kind: 'refused' });
    first.hold.settle(0);
    const large = await take(600, rates);
    expect(large.verdict.kind).toBe('admitted');
    large.hold.settle(600);
    expect(state.remaining({ ...TOKENS, rate: { ...TOKENS.rate, amount: 250 } }, 0)).toMatchObject({
      remaining: 0,
      resetMs: 144_000,
    });
    expect((await take(1, rates)).verdict).toMatchObject({ kind: 'refused' });
    expect([alone(), shared.adjusted]).toEqual([4, []]);
  });
});
