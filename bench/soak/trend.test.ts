import { expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { type Point, trendOf } from './trend.ts';

/** A sample every 5 s; `alike`: how much of its noise each takes over from the one before it. */
function heap(seed: number, { minutes, slope, noise, alike }: Record<string, number>): Point[] {
  const chance = createRandom(seed);
  let drift = 0;
  return Array.from({ length: Math.round((minutes ?? 2) * 12) }, (_, sample) => {
    const atMinutes = sample / 12;
    drift = (alike ?? 0) * drift + (noise ?? 0) * (chance.next() + chance.next() + chance.next() - 1.5);
    return { atMinutes, value: 40 + (slope ?? 0) * atMinutes + drift };
  });
}

it('is exact without noise', () => {
  const trend = trendOf(heap(1, { minutes: 2, slope: 3 }));
  expect(trend.slope).toBeCloseTo(3, 9);
  expect(trend.high - trend.low).toBeCloseTo(0, 6);
  expect(trend.first).toBeCloseTo(40, 6);
  expect(trend.last).toBeCloseTo(40 + (3 * 23) / 12, 6);
});

it.each([
  0, 0.7,
])('holds the true slope in its interval in about 95 of 100 runs (noise alike by %f)', (alike) => {
  let held = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const { low, high } = trendOf(heap(seed, { minutes: 10, slope: 0.2, noise: 1, alike }));
    if (low <= 0.2 && 0.2 <= high) held++;
  }
  expect(held / 300).toBeGreaterThan(0.9);
});

it('tells a leak of 3 MB a minute within two minutes, and does not see one where there is none', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const noise = { minutes: 2, noise: 0.4, alike: 0.5 };
    expect(trendOf(heap(seed, { ...noise, slope: 3 })).low).toBeGreaterThan(0.5);
    expect(trendOf(heap(seed, noise)).low).toBeLessThan(0.5);
  }
});

it('needs four points', () => {
  expect(() => trendOf(heap(1, { minutes: 0.25 }))).toThrow('a trend of 3 points');
});
