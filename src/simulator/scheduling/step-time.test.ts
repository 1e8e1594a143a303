import { describe, expect, it } from 'vitest';
import { createRandom } from '../../base/random.ts';
import { DEFAULT_STEP_COSTS, lognormal, stepMs } from './step-time.ts';

describe('stepMs', () => {
  it('is about 10 ms for a small batch and grows with prefill', () => {
    const decode = stepMs(DEFAULT_STEP_COSTS, { prefillTokens: 0, decodeBatch: 8, decodeContext: 800 });
    expect(decode).toBeCloseTo(10.1, 1);
    const prefill = stepMs(DEFAULT_STEP_COSTS, { prefillTokens: 2000, decodeBatch: 0, decodeContext: 0 });
    expect(prefill).toBeCloseTo(76.1, 1);
  });
});

describe('lognormal', () => {
  it('is 1 without noise, and has median 1 with it', () => {
    expect(lognormal(0, 0.3, 0.7)).toBe(1);
    const random = createRandom(1);
    const factors = Array.from({ length: 2001 }, () => lognormal(0.1, random.next(), random.next())).sort(
      (a, b) => a - b,
    );
    expect(factors[1000]).toBeCloseTo(1, 1);
    expect(factors[0]).toBeGreaterThan(0.5);
  });
});
