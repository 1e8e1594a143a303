import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import type { LimitShare } from '../../../contract/limit-share.ts';
import { RequestLimits } from '../../../decide/scheduling/limits/request-limits.ts';
import { concurrencyCellsOf, createLimitMemory, rateCellsOf } from './limit-memory.ts';
import { LimitParts } from './limit-parts.ts';
import { boundLimits, limitedKey } from './limited.ts';
import { ShareKeeper } from './share-keeper.ts';

interface Amounts {
  requestsPerMinute?: number;
  tokensPerMinute?: number;
  parallelRequests?: number;
}

/** A gateway with one limited key, on a clock that stands still. */
class Gateway {
  readonly keeper: ShareKeeper;
  readonly #limits: RequestLimits;
  readonly #bound;
  readonly #held: { settle(tokens: number | null): void }[] = [];

  constructor(limits: Amounts) {
    const memory = createLimitMemory(1);
    const key = { name: 'k', sha256: '', limits };
    this.keeper = new ShareKeeper(memory, { machineMs: () => 1_000_000 });
    this.keeper.update({
      snapshot: {
        version: { epoch: 1, seq: 1 },
        settings: { ...TEST_SETTINGS, keys: [key] },
        fleet: { pools: [] },
      },
      replicaSlots: {},
      poolSlots: {},
      limitSlots: { 'key "k"': 5 },
    });
    this.#bound = boundLimits(limitedKey(key)!, 5);
    this.#limits = new RequestLimits(
      rateCellsOf(memory),
      concurrencyCellsOf(memory, 0),
      new LimitParts(memory.parts).of,
    );
  }

  /** How many of so many requests are let in. */
  admit(requests: number, tokens = 0): number {
    let admitted = 0;
    for (let turn = 0; turn < requests; turn++) {
      const verdict = this.#limits.admit(this.#bound, tokens, 1_000_000);
      if (verdict.kind !== 'admitted') continue;
      admitted++;
      const { reservation } = verdict;
      this.#held.push({ settle: (used) => this.#limits.settle(reservation, used, 1_000_000) });
    }
    return admitted;
  }

  verdict(tokens = 0) {
    return this.#limits.admit(this.#bound, tokens, 1_000_000);
  }

  settle(requests: number, tokens: number | null = 0): void {
    for (const held of this.#held.splice(0, requests)) held.settle(tokens);
  }
}

const share = (part: number, of: number, more: Partial<LimitShare> = {}): LimitShare => ({
  part,
  of,
  others:
    of === 1 ? [] : Array.from({ length: of - 1 }, (_, at) => ({ part: at < part ? at : at + 1, held: {} })),
  left: [],
  begin: null,
  ask: null,
  ...more,
});

/** `b` comes beside `a`, as the node has it. */
function join(a: Gateway, b: Gateway): void {
  const { held } = a.keeper.use(null);
  a.keeper.take(share(0, 2));
  b.keeper.take(share(1, 2, { begin: a.keeper.use(1).used, others: [{ part: 0, held }] }));
}

/** `a` takes nothing any more. */
function leave(a: Gateway, b: Gateway): void {
  const { used, held } = a.keeper.stopTaking();
  b.keeper.take(share(0, 1, { left: [{ part: 0, of: 2, used }], others: [{ part: null, held }] }));
}

describe('ShareKeeper', () => {
  it.each([
    { requestsPerMinute: 101 },
    { parallelRequests: 101 },
  ])('lets in as many over two gateways as one alone would: %o', (limits) => {
    const [a, b] = [new Gateway(limits), new Gateway(limits)];
    expect(a.admit(40)).toBe(40);
    join(a, b);
    const [fromA, fromB] = [a.admit(1_000), b.admit(1_000)];
    expect(40 + fromA + fromB).toBeGreaterThanOrEqual(100);
    expect(40 + fromA + fromB).toBeLessThanOrEqual(101);
    leave(a, b);
    expect(b.admit(1_000)).toBeLessThanOrEqual(1);
    expect(a.admit(1)).toBe(0);
  });

  it('gives what one leaves unused to the other', () => {
    const limits = { requestsPerMinute: 100 };
    const [a, b] = [new Gateway(limits), new Gateway(limits)];
    join(a, b);
    expect([a.admit(10), b.admit(1_000)]).toEqual([10, 50]);
    leave(a, b);
    expect(b.admit(1_000)).toBe(40);
    expect(a.admit(1)).toBe(0);
  });

  it('counts what one that is killed had as used', () => {
    const limits = { requestsPerMinute: 100 };
    const [a, b] = [new Gateway(limits), new Gateway(limits)];
    join(a, b);
    expect(b.admit(20)).toBe(20);
    b.keeper.take(share(0, 1, { left: [{ part: 0, of: 2, used: null }] }));
    expect(b.admit(1_000)).toBe(30);
  });

  it('leaves places to one that holds more than its part, and takes them over one by one', () => {
    const limits = { parallelRequests: 100 };
    const [a, b] = [new Gateway(limits), new Gateway(limits)];
    expect(a.admit(80)).toBe(80);
    join(a, b);
    expect([a.admit(100), b.admit(100)]).toEqual([0, 20]);
    a.settle(50);
    leave(a, b);
    expect(b.admit(100)).toBe(50);
    b.keeper.take(share(0, 1));
    expect(b.admit(100)).toBe(30);
  });

  it('refuses for a while, and not for ever, where its part of a small limit is nothing', () => {
    const [a, b] = [new Gateway({ requestsPerMinute: 1 }), new Gateway({ requestsPerMinute: 1 })];
    join(a, b);
    expect(b.verdict()).toMatchObject({ kind: 'refused', retryAfterMs: 1_000 });
    expect(a.admit(2)).toBe(1);
  });

  it('lets in a request that is larger than its part, which owes the rest', () => {
    const limits = { tokensPerMinute: 1_000 };
    const [a, b] = [new Gateway(limits), new Gateway(limits)];
    join(a, b);
    expect(a.verdict(1_001).kind).toBe('too-large');
    expect([a.admit(2, 800), a.admit(1, 1)]).toEqual([1, 0]);
    a.settle(1, 800);
    // 800 of 500 are used there and none of the other 500.
    leave(a, b);
    expect(b.admit(1_000, 1)).toBe(200);
  });

  it('never gives back more than was taken, whatever part holds then', () => {
    const limits = { tokensPerMinute: 1_000 };
    const [a, b] = [new Gateway(limits), new Gateway(limits)];
    expect(a.admit(1, 600)).toBe(1);
    join(a, b);
    a.settle(1, 0);
    const [fromA, fromB] = [a.admit(2_000, 1), b.admit(2_000, 1)];
    expect(fromA + fromB).toBeLessThanOrEqual(1_000);
    expect(fromA + fromB).toBeGreaterThanOrEqual(700);
  });

  it('never lets in more than the limit over gateways that come and go (property)', () => {
    const action = fc.record({
      at: fc.nat(1),
      kind: fc.constantFrom('admit', 'join', 'leave'),
      requests: fc.nat(30),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 120 }),
        fc.array(action, { maxLength: 30 }),
        (amount, actions) => {
          const limits = { requestsPerMinute: amount };
          let serving = [new Gateway(limits)];
          let admitted = 0;
          for (const { at, kind, requests } of actions) {
            if (kind === 'admit') admitted += serving[at % serving.length]!.admit(requests);
            if (kind === 'join' && serving.length === 1) {
              serving = [serving[0]!, new Gateway(limits)];
              join(serving[0]!, serving[1]!);
            }
            if (kind === 'leave' && serving.length === 2) {
              leave(serving[0]!, serving[1]!);
              serving = [serving[1]!];
            }
          }
          expect(admitted).toBeLessThanOrEqual(amount);
          if (serving.length === 1) {
            admitted += serving[0]!.admit(1_000);
            expect(admitted).toBeLessThanOrEqual(amount);
            // Each hand-over may round one away on either side, and a clock that stands still the last of all.
            const handOvers = actions.filter(({ kind }) => kind !== 'admit').length;
            expect(admitted).toBeGreaterThanOrEqual(amount - 1 - 2 * handOvers);
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
