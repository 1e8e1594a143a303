import { describe, expect, it } from 'vitest';
import { createRandom, lognormal } from '../../base/random.ts';
import { type StepCosts, stepMs } from '../../contract/engine-model.ts';
import type { MeasuredStep } from '../../contract/planning.ts';
import { fitCosts } from './calibration.ts';

const COSTS: StepCosts = { c0: 6, c1: 0.03, c2: 5e-7, c3: 0.01, c4: 4e-5 };

function measured(sigma: number, prefill = 8192): MeasuredStep[] {
  const random = createRandom(7);
  return Array.from({ length: 400 }, () => {
    const prefillTokens = random.next() < 0.4 ? 0 : random.int(prefill);
    const decodeBatch = random.int(200);
    const decodeContext = decodeBatch * (100 + random.int(3000));
    const load = { prefillTokens, decodeBatch, decodeContext };
    return { ...load, stepMs: stepMs(COSTS, load) * lognormal(sigma, random.next(), random.next()) };
  });
}

describe('fitCosts', () => {
  it('finds the costs again where the steps follow them', () => {
    const { costs, rSquared, meanError, undetermined } = fitCosts(measured(0));
    for (const name of ['c0', 'c1', 'c2', 'c3', 'c4'] as const)
      expect(costs[name] / COSTS[name], name).toBeCloseTo(1, 4);
    expect(rSquared).toBeCloseTo(1, 9);
    expect(meanError).toBeLessThan(1e-6);
    expect(undetermined).toEqual([]);
  });

  it('says how far steps with noise are from the fit, and which is the worst', () => {
    const { meanError, worst, rSquared, steps } = fitCosts(measured(0.05));
    // The mean of |noise| is 0.8 of its sigma.
    expect(meanError).toBeGreaterThan(0.03);
    expect(meanError).toBeLessThan(0.05);
    expect(Math.abs(worst.error)).toBeGreaterThan(0.1);
    expect(worst.error).toBeCloseTo((worst.stepMs - worst.predictedMs) / worst.stepMs, 9);
    expect(rSquared).toBeGreaterThan(0.98);
    expect(steps).toBe(400);
  });

  it('names the costs that steps without prefill say nothing about', () => {
    const { undetermined, costs, measuredTo } = fitCosts(measured(0, 1));
    expect(undetermined.toSorted()).toEqual(['c1', 'c2']);
    expect(costs.c1).toBe(0);
    expect(costs.c0).toBeCloseTo(COSTS.c0, 4);
    expect(measuredTo.prefillTokens).toBe(0);
  });

  it('finds no cost below zero, however the steps lie', () => {
    const steps = measured(0).map((step) => ({
      ...step,
      stepMs: 100 - 0.05 * step.decodeBatch + 0.01 * step.prefillTokens,
    }));
    const { costs } = fitCosts(steps);
    expect(Math.min(...Object.values(costs))).toBeGreaterThanOrEqual(0);
    expect(costs.c3).toBe(0);
  });
});
