import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseMeasuredSteps } from '../../assembly/planning/measured-steps.ts';
import { stepMs } from '../../contract/engine-model.ts';
import { fitCosts } from './calibration.ts';
import { costsByDataSheet, type Deployment, planMemory } from './first-principles.ts';
import { GPUS } from './gpus.ts';
import { LANGUAGE_MODELS } from './language-models.ts';

const gpu = (wanted: string) => GPUS.find(({ name }) => name === wanted)!;
const model = (wanted: string) => LANGUAGE_MODELS.find(({ name }) => name === wanted)!;

const onH100: Deployment = {
  gpu: gpu('h100'),
  model: model('8b'),
  tensorParallel: 1,
  weights: 'bf16',
  cache: 'bf16',
  limits: { maxNumSeqs: 256, maxBatchedTokens: 8192, memoryShare: 0.9 },
};

describe('costsByDataSheet', () => {
  it('takes for 8B on one H100 about 7 ms per step and 0.03 ms per token of prefill', () => {
    const { c0, c1, c2, c4 } = costsByDataSheet(onH100, 'expected');
    expect(c0).toBeCloseTo(7, 1);
    expect(c1).toBeCloseTo(0.028, 3);
    expect(c2).toBeCloseTo(5.3e-7, 8);
    expect(c4).toBeCloseTo(4.9e-5, 6);
  });

  it('shares reading and arithmetic between GPUs, with a loss that is larger over PCIe', () => {
    const { c1: one } = costsByDataSheet(onH100, 'expected');
    const { c1: four } = costsByDataSheet({ ...onH100, tensorParallel: 4 }, 'expected');
    expect(one / four).toBeCloseTo(4 * 0.82, 6);
    const { c1: slow } = costsByDataSheet({ ...onH100, gpu: gpu('l4'), tensorParallel: 4 }, 'expected');
    const { c1: alone } = costsByDataSheet({ ...onH100, gpu: gpu('l4') }, 'expected');
    expect(alone / slow).toBeCloseTo(4 * 0.6, 6);
  });

  it('multiplies fp8 twice as fast where the GPU has units for it, and only reads it faster where not', () => {
    const ratio = (name: string) => {
      const bf16 = costsByDataSheet({ ...onH100, gpu: gpu(name) }, 'expected');
      const fp8 = costsByDataSheet({ ...onH100, gpu: gpu(name), weights: 'fp8' }, 'expected');
      return { prefill: bf16.c1 / fp8.c1, step: bf16.c0 / fp8.c0 };
    };
    expect(ratio('h100').prefill).toBeCloseTo(2, 6);
    expect(ratio('a100-80').prefill).toBe(1);
    expect(ratio('a100-80').step).toBeGreaterThan(1.5);
  });

  it('is never cheaper at worst than expected, nor dearer at best', () => {
    for (const card of GPUS) {
      const [best, expected, worst] = (['best', 'expected', 'worst'] as const).map((outlook) =>
        costsByDataSheet({ ...onH100, gpu: card }, outlook),
      );
      for (const name of ['c0', 'c1', 'c2', 'c3', 'c4'] as const) {
        expect(best![name], `${card.name} ${name}`).toBeLessThanOrEqual(expected![name]);
        expect(worst![name], `${card.name} ${name}`).toBeGreaterThanOrEqual(expected![name]);
      }
    }
  });
});

describe('planMemory', () => {
  it('leaves 8B on one H100 a cache of about 450,000 tokens', () => {
    const { kvTokens, kvBytesPerToken, maxSequences } = planMemory(onH100, 2300);
    expect(kvBytesPerToken).toBe(131_072);
    expect(kvTokens).toBeGreaterThan(440_000);
    expect(kvTokens).toBeLessThan(455_000);
    expect(maxSequences).toBe(Math.floor(kvTokens / 2300));
  });

  it('keeps heads more than once where there are fewer of them than GPUs', () => {
    const few = { ...onH100, model: model('7b') };
    expect(planMemory({ ...few, tensorParallel: 8 }, 1).kvBytesPerToken).toBe(
      2 * planMemory({ ...few, tensorParallel: 4 }, 1).kvBytesPerToken,
    );
  });

  it('has no cache where the weights alone are too large', () => {
    expect(planMemory({ ...onH100, model: model('70b') }, 2300).kvTokens).toBe(0);
  });
});

describe('steps measured on an H100', () => {
  const file = resolve(import.meta.dirname, '../../../docs/planning/h100-llama-8b-bf16.csv');
  const steps = parseMeasuredSteps(readFileSync(file, 'utf8'), 'measured');

  it('follow the step model: a fit explains 99 % of them, to 6 % on the average', () => {
    const { rSquared, meanError, undetermined } = fitCosts(steps);
    expect(steps.length).toBeGreaterThan(150);
    expect(rSquared).toBeGreaterThan(0.99);
    expect(meanError).toBeLessThan(0.06);
    expect(undetermined).toEqual([]);
  });

  it('lie in the range of first principles: none takes longer than the worst, and three in ten are faster than the best', () => {
    const best = costsByDataSheet(onH100, 'best');
    const worst = costsByDataSheet(onH100, 'worst');
    expect(steps.filter((step) => step.stepMs > stepMs(worst, step))).toEqual([]);
    const faster = steps.filter((step) => step.stepMs < stepMs(best, step));
    // These hide part of the arithmetic behind the reading of the weights; the model adds the two up.
    expect(faster.every((step) => step.stepMs > 0.75 * stepMs(best, step))).toBe(true);
    expect(faster.length / steps.length).toBeLessThan(0.3);
    const expected = costsByDataSheet(onH100, 'expected');
    const errors = steps.map((step) => Math.abs(stepMs(expected, step) / step.stepMs - 1));
    expect(errors.reduce((sum, error) => sum + error) / errors.length).toBeLessThan(0.25);
  });
});
