import { describe, expect, it } from 'vitest';
import { createRandom, lognormal } from './random.ts';

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
