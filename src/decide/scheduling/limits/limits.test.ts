import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../base/random.ts';
import { ConcurrencyCells } from './concurrency-cells.ts';
import { type AtomicCells, RateCells, sharedCells, toNs } from './rate-cells.ts';
import { bindingLimits, durationText, rateLimitHeaders } from './rate-limit-headers.ts';
import { type BoundLimit, RequestLimits, type Reservation, shareOfLimit } from './request-limits.ts';

const MINUTE = 60_000;
const limit = (kind: BoundLimit['kind'], amount: number, cell = 0, windowMs = MINUTE): BoundLimit => ({
  kind,
  scope: 'key',
  subject: `key "k${cell}"`,
  cell,
  rate: { amount, windowMs },
});

const WORKERS = 8;
function limitsOver(
  rates: AtomicCells,
  concurrency = new Int32Array((WORKERS + 1) * 8),
  worker = 0,
): RequestLimits {
  return new RequestLimits(new RateCells(rates), new ConcurrencyCells(concurrency, 8, worker));
}
const fresh = () => limitsOver(sharedCells(new BigInt64Array(8)));

/** A token bucket in plain numbers: the reference. */
class Bucket {
  level: number;
  #at = 0;
  readonly #amount: number;
  readonly #windowMs: number;

  constructor({ amount, windowMs }: BoundLimit['rate']) {
    this.level = amount;
    this.#amount = amount;
    this.#windowMs = windowMs;
  }

  refill(nowMs: number): void {
    this.level = Math.min(this.#amount, this.level + ((nowMs - this.#at) * this.#amount) / this.#windowMs);
    this.#at = nowMs;
  }
}

/** Cells between whose steps other workers do whole requests, as chance has it: an adversary's schedule. */
function interrupted(cells: AtomicCells, interrupt: () => void): AtomicCells {
  return {
    load: (cell) => {
      const value = cells.load(cell);
      interrupt();
      return value;
    },
    compareExchange: (cell, expected, replacement) => {
      interrupt();
      return cells.compareExchange(cell, expected, replacement);
    },
  };
}

describe('RequestLimits', () => {
  it('is a token bucket: the same verdicts as one in plain numbers (property)', () => {
    const step = fc.record({
      afterMs: fc.nat(5_000),
      tokens: fc.integer({ min: 1, max: 60 }),
      usedRatio: fc.nat(150),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(100, 60, 50), (steps, amount) => {
        const tokens = limit('tokens', amount, 0, 10_000);
        const limits = fresh();
        const bucket = new Bucket(tokens.rate);
        let nowMs = 0;
        for (const step of steps) {
          nowMs += step.afterMs;
          bucket.refill(nowMs);
          const verdict = limits.admit([tokens], step.tokens, nowMs);
          if (step.tokens > amount) {
            expect(verdict.kind).toBe('too-large');
            continue;
          }
          if (Math.abs(bucket.level - step.tokens) < 1e-3) return;
          expect(verdict.kind).toBe(step.tokens <= bucket.level ? 'admitted' : 'refused');
          if (verdict.kind !== 'admitted') continue;
          const used = Math.round((step.tokens * step.usedRatio) / 100);
          limits.settle(verdict.reservation, used, nowMs);
          bucket.level = Math.min(amount, bucket.level - used);
        }
      }),
      { numRuns: 10_000 },
    );
  });

  it('admits exactly 100 of 1,000 against a limit of 100, however workers interleave (property)', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom('requests' as const, 'concurrency' as const),
        (seed, kind) => {
          const chance = createRandom(seed);
          const memory = new BigInt64Array(8);
          const concurrency = new Int32Array((WORKERS + 1) * 8);
          let left = 1_000;
          let admitted = 0;
          let depth = 0;
          const workers: RequestLimits[] = [];
          const binding = [limit('tokens', 1_000_000, 1), limit(kind, 100, 2), limit('requests', 5_000, 3)];
          const one = () => {
            left--;
            if (chance.pick(workers).admit(binding, 10, 0).kind === 'admitted') admitted++;
          };
          const interrupt = () => {
            if (depth >= WORKERS - 1 || left <= 0 || chance.next() > 0.3) return;
            depth++;
            one();
            depth--;
          };
          for (let worker = 0; worker < WORKERS; worker++) {
            workers.push(limitsOver(interrupted(sharedCells(memory), interrupt), concurrency, worker));
          }
          while (left > 0) one();
          expect(admitted).toBe(100);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('never admits more than any of several limits that bind at once, and at most one fewer per other worker (property)', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const chance = createRandom(seed);
        const memory = new BigInt64Array(8);
        let left = 300;
        let depth = 0;
        let admitted = 0;
        const binding = [limit('requests', 50, 0), limit('tokens', 500, 1), limit('requests', 50, 2)];
        const one = () => {
          left--;
          if (limits.admit(binding, 10, 0).kind === 'admitted') admitted++;
        };
        const interrupt = () => {
          if (depth >= 3 || left <= 0 || chance.next() > 0.3) return;
          depth++;
          one();
          depth--;
        };
        const limits = limitsOver(interrupted(sharedCells(memory), interrupt));
        while (left > 0) one();
        expect(admitted).toBeLessThanOrEqual(50);
        expect(admitted).toBeGreaterThanOrEqual(50 - 3);
      }),
      { numRuns: 100 },
    );
  });

  it('takes nothing of one limit when another refuses', () => {
    const limits = fresh();
    const requests = limit('requests', 10, 0);
    const tokens = limit('tokens', 100, 1);
    const concurrency = limit('concurrency', 10, 2);
    expect(limits.admit([requests, concurrency, tokens], 90, 0).kind).toBe('admitted');
    for (let refused = 0; refused < 50; refused++) {
      expect(limits.admit([requests, concurrency, tokens], 20, 0)).toMatchObject({
        kind: 'refused',
        limit: tokens,
      });
    }
    expect(limits.remaining(requests, 0).remaining).toBe(9);
    expect(limits.remaining(concurrency, 0).remaining).toBe(9);
  });

  it('names the limit that must be waited for longest, and is right about how long', () => {
    const limits = fresh();
    const both = [limit('requests', 60, 0), limit('tokens', 600, 1)];
    for (let request = 0; request < 6; request++) limits.admit(both, 100, 0);
    const verdict = limits.admit(both, 100, 0);
    expect(verdict).toMatchObject({ kind: 'refused', limit: both[1], retryAfterMs: 10_000 });
    expect(limits.admit(both, 100, 9_999).kind).toBe('refused');
    expect(limits.admit(both, 100, 10_000).kind).toBe('admitted');
  });

  it('says at once that a request is larger than its limit ever allows', () => {
    expect(fresh().admit([limit('tokens', 100)], 101, 0)).toMatchObject({ kind: 'too-large', units: 101 });
  });

  it('is not fooled by numbers that are none: negative, NaN, infinite, a limit of nothing', () => {
    const limits = fresh();
    const tokens = limit('tokens', 100);
    expect(limits.admit([tokens], -50, 0).kind).toBe('admitted');
    expect(limits.remaining(tokens, 0).remaining).toBe(100);
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(limits.admit([tokens], odd, 0).kind).toBe('too-large');
    expect(limits.admit([limit('tokens', 0, 1)], 0, 0).kind).toBe('too-large');
    const verdict = limits.admit([tokens], 10, 0);
    if (verdict.kind === 'admitted') limits.settle(verdict.reservation, -1_000, 0);
    expect(limits.remaining(tokens, 0).remaining).toBe(100);
  });

  it('does not drift over 10,000 random reservations and settlements', () => {
    const chance = createRandom(3);
    const limits = fresh();
    const tokens = limit('tokens', 7_000_003, 0, 61_000);
    const all = [limit('requests', 100_000, 1), limit('concurrency', 64, 0), tokens];
    const open: Reservation[] = [];
    let used = 0;
    let admitted = 0;
    while (admitted < 10_000) {
      const verdict = limits.admit(all, 1 + chance.int(300), 0);
      if (verdict.kind === 'admitted') {
        open.push(verdict.reservation);
        admitted++;
      } else expect(verdict).toMatchObject({ kind: 'refused', limit: { kind: 'concurrency' } });
      while (open.length > chance.int(64) || (admitted === 10_000 && open.length > 0)) {
        const reservation = open.splice(chance.int(open.length), 1)[0]!;
        const really = chance.int(10) === 0 ? null : chance.int(500);
        limits.settle(reservation, really, 0);
        limits.settle(reservation, really, 0);
        used += really ?? 0;
      }
    }
    expect(limits.remaining(all[1]!, 0).remaining).toBe(64);
    // 20,000 roundings of less than a nanosecond each are worth less than three tokens of 7 million a minute.
    expect(Math.abs(7_000_003 - used - limits.remaining(tokens, 0).remaining)).toBeLessThanOrEqual(3);
  });

  it('leaves to others what work that may wait has to spare, and lets it have all of what nobody uses', () => {
    const limits = fresh();
    const tokens = [limit('tokens', 1_000)];
    const kinds = (asked: number, nowMs: number) => limits.admit(tokens, asked, nowMs, 0.5).kind;
    expect([kinds(300, 0), kinds(300, 0), kinds(200, 0)]).toEqual(['admitted', 'refused', 'admitted']);
    expect(limits.admit(tokens, 500, 0).kind).toBe('admitted');
    expect(limits.admit(tokens, 100, 0, 0.5)).toMatchObject({ kind: 'refused', retryAfterMs: 36_000 });
    // More than a half: only when nobody has used any of it.
    expect([kinds(800, MINUTE - 1), kinds(800, MINUTE), kinds(1_001, MINUTE)]).toEqual([
      'refused',
      'admitted',
      'too-large',
    ]);
  });

  it('gives back what a worker that died had in flight', () => {
    const memory = new Int32Array(3 * 2);
    const dying = new ConcurrencyCells(memory, 2, 0);
    const living = new ConcurrencyCells(memory, 2, 1);
    expect([dying.tryAcquire(1, 2), living.tryAcquire(1, 2), living.tryAcquire(1, 2)]).toEqual([
      true,
      true,
      false,
    ]);
    dying.reclaim();
    expect(living.inFlight(1)).toBe(1);
    living.release(1);
    expect([...memory]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('splits a limit over gateways without losing or adding anything (property)', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.integer({ min: 1, max: 16 }), (amount, gateways) => {
        const parts = Array.from({ length: gateways }, (_, gateway) =>
          shareOfLimit(amount, gateways, gateway),
        );
        expect(parts.reduce((sum, part) => sum + part, 0)).toBe(amount);
        expect(Math.max(...parts) - Math.min(...parts)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('rateLimitHeaders', () => {
  it('shows for each kind the limit that binds first', () => {
    const limits = fresh();
    const all = [
      limit('requests', 100, 0),
      limit('requests', 10, 1),
      limit('tokens', 1_000, 2),
      limit('concurrency', 4, 0),
    ];
    limits.admit(all, 250, 0);
    expect(rateLimitHeaders(bindingLimits(all, (one) => limits.remaining(one, 0)))).toEqual({
      'x-ratelimit-limit-requests': '10',
      'x-ratelimit-remaining-requests': '9',
      'x-ratelimit-reset-requests': '6s',
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '750',
      'x-ratelimit-reset-tokens': '15s',
    });
    expect(rateLimitHeaders({})).toEqual({});
  });

  it('writes durations that are long enough', () => {
    expect([0, 0.2, 120, 999.5, 1_000, 59_001, 360_000, 3_723_000].map(durationText)).toEqual([
      '0ms',
      '1ms',
      '120ms',
      '1s',
      '1s',
      '1m0s',
      '6m0s',
      '1h2m3s',
    ]);
  });

  it('reads a bucket that nobody used as full, at any time', () => {
    const cells = new RateCells(sharedCells(new BigInt64Array(1)));
    expect(cells.read(0, { amount: 5, windowMs: 1_000 }, toNs(1e12))).toEqual({ remaining: 5, resetMs: 0 });
  });
});
