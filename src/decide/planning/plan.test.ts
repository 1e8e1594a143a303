import { describe, expect, it } from 'vitest';
import type { NoPlan, Plan, PlanQuestion, Traffic } from '../../contract/planning.ts';
import { fitCosts } from './calibration.ts';
import { GPUS } from './gpus.ts';
import { LANGUAGE_MODELS } from './language-models.ts';
import { planCapacity } from './plan.ts';

const TRAFFIC: Traffic = {
  rate: 20,
  promptTokens: 1000,
  outputTokens: 40,
  lengths: 'lognormal',
  arrivals: 'poisson',
  prefixHits: 0,
};

function question(change: Partial<PlanQuestion> = {}): PlanQuestion {
  return {
    traffic: TRAFFIC,
    objective: { ttftMs: 1000, itlMs: null, percentile: 99 },
    gpu: GPUS.find(({ name }) => name === 'h100')!,
    model: LANGUAGE_MODELS.find(({ name }) => name === '8b')!,
    tensorParallel: null,
    weights: 'bf16',
    cache: 'bf16',
    limits: { maxNumSeqs: 256, maxBatchedTokens: 8192, memoryShare: 0.9 },
    calibration: null,
    seed: 1,
    ...change,
  };
}

function planFor(change: Partial<PlanQuestion> = {}): Plan {
  const found = planCapacity(question(change));
  if (found.kind === 'impossible') throw new Error(found.why);
  return found;
}

function refusalFor(change: Partial<PlanQuestion>): NoPlan {
  const found = planCapacity(question(change));
  if (found.kind === 'plan') throw new Error(`${found.replicas.expected} replicas`);
  return found;
}

const gpu = (wanted: string) => GPUS.find(({ name }) => name === wanted)!;
const model = (wanted: string) => LANGUAGE_MODELS.find(({ name }) => name === wanted)!;

describe('planCapacity', () => {
  it('answers with the smallest fleet that holds the objective: one less misses it', () => {
    const { replicas, sizes, utilisation, bound } = planFor({ traffic: { ...TRAFFIC, rate: 60 } });
    const chosen = sizes.find(({ replicas: size }) => size === replicas.expected)!;
    const fewer = sizes.find(({ replicas: size }) => size === replicas.expected! - 1)!;
    expect(chosen.holds).toBe(true);
    expect(chosen.ttftMs.objective).toBeLessThanOrEqual(1000);
    expect(fewer.holds).toBe(false);
    expect(utilisation.expected).toBeLessThan(0.95);
    expect(bound.name).toBe('compute');
  });

  it('needs more replicas for more requests, and fewer for a prompt that is cached', () => {
    const count = (traffic: Partial<Traffic>) =>
      planFor({ traffic: { ...TRAFFIC, ...traffic } }).replicas.expected!;
    const once = count({ rate: 60 });
    expect(count({ rate: 180 })).toBeGreaterThan(2 * once);
    expect(count({ rate: 60, prefixHits: 0.9 })).toBeLessThan(once);
  });

  it('has ranges in which the expected figure lies', () => {
    const { replicas, utilisation, ttftMs, error } = planFor();
    expect(replicas.best).toBeLessThanOrEqual(replicas.expected!);
    expect(replicas.worst).toBeGreaterThanOrEqual(replicas.expected!);
    expect(utilisation.best).toBeLessThan(utilisation.expected!);
    expect(utilisation.worst).toBeGreaterThan(utilisation.expected!);
    expect(ttftMs.p99.best).toBeLessThan(ttftMs.p99.expected!);
    expect(error.measured).toBe(false);
    expect(error.longer).toBeGreaterThan(0.2);
  });

  it('says that the objective decides where fewer replicas could do the work', () => {
    const { bound, replicas } = planFor({
      traffic: { ...TRAFFIC, rate: 60 },
      objective: { ttftMs: 1000, itlMs: 60, percentile: 95 },
    });
    expect(bound.name).toBe('slo-itl');
    expect(bound.why).toContain('60');
    expect(replicas.expected).toBeGreaterThan(
      planFor({ traffic: { ...TRAFFIC, rate: 60 } }).replicas.expected!,
    );
  });

  it('says what happens when one is lost, and advises one more where the others are too few', () => {
    const { oneLost, replicas } = planFor({ traffic: { ...TRAFFIC, rate: 60 } });
    expect(oneLost.replicas).toBe(replicas.expected! - 1);
    expect(oneLost.holds).toBe(false);
    expect(oneLost.advice).toContain(`plan ${replicas.expected! + 1}`);
    const alone = planFor({ traffic: { ...TRAFFIC, rate: 1 } });
    expect(alone.replicas.expected).toBe(1);
    expect(alone.oneLost.advice).toContain('nothing is served');
  });

  it('finds the cache to be what decides where it is what is short', () => {
    const small = { ...gpu('h100'), memoryGiB: 20 };
    const { bound, gains, cacheUsed } = planFor({
      gpu: small,
      traffic: { ...TRAFFIC, rate: 30, promptTokens: 500, outputTokens: 500, lengths: 'fixed' },
      objective: { ttftMs: 60_000, itlMs: null, percentile: 99 },
    });
    expect(bound.name).toBe('kv-capacity');
    expect(gains.cache).toBeGreaterThan(gains.compute);
    expect(cacheUsed.peak).toBeGreaterThan(0.9);
  });

  it('takes as many GPUs per replica as the weights need', () => {
    const { tensorParallel, gpus, replicas } = planFor({
      model: model('70b'),
      traffic: { ...TRAFFIC, rate: 2 },
      objective: { ttftMs: 5000, itlMs: null, percentile: 99 },
    });
    expect(tensorParallel).toBe(2);
    expect(gpus).toBe(2 * replicas.expected!);
  });

  it('takes more of them where the objective needs it, and says so', () => {
    const { tensorParallel, warnings } = planFor({
      model: model('32b'),
      gpu: gpu('h200'),
      traffic: { ...TRAFFIC, rate: 2 },
      objective: { ttftMs: 200, itlMs: null, percentile: 95 },
    });
    expect(tensorParallel).toBeGreaterThan(1);
    expect(warnings.join()).toContain('the model fits on 1 x h200');
  });

  it('refuses where nothing fits, with changes that would do', () => {
    const { why, remedies } = refusalFor({ model: model('70b'), tensorParallel: 1 });
    expect(why).toContain('Llama-3.1-70B in bf16 needs 131.4 GiB');
    expect(remedies).toContain('--tp 2');
    expect(remedies.join()).toMatch(/--gpu \w+/);
    for (const size of [1, 2]) {
      const larger = planCapacity(question({ model: model('70b'), tensorParallel: size }));
      expect(larger.kind === 'impossible' && larger.why.includes('needs'), `tp ${size}`).toBe(size < 2);
    }
    expect(refusalFor({ model: model('405b'), gpu: gpu('l4') }).remedies).toContain('--gpu h200 --tp 8');
  });

  it('refuses an objective that no number of replicas holds, with changes that would do', () => {
    const tight = { ttftMs: 1000, itlMs: 5, percentile: 99 };
    const { why, remedies } = refusalFor({ objective: tight, tensorParallel: 1 });
    expect(why).toContain('more replicas do not help');
    expect(why).toContain('gap between tokens');
    const last = remedies.at(-1)!;
    const loosened = Number(/--slo-itl (\d+)ms/.exec(last)![1]);
    expect(
      planFor({ objective: { ...tight, itlMs: loosened }, tensorParallel: 1 }).replicas.expected,
    ).toBeGreaterThan(0);
  });

  it('plans with measured costs, and warns of loads beyond what was measured', () => {
    const costs = { c0: 6, c1: 0.02, c2: 1e-6, c3: 0.013, c4: 4.2e-5 };
    const steps = Array.from({ length: 60 }, (_, index) => {
      const [prefillTokens, decodeBatch] = [(index * 37) % 500, index % 7];
      const decodeContext = decodeBatch * (100 + ((index * 13) % 50));
      const stepMs =
        costs.c0 + costs.c1 * prefillTokens + costs.c2 * prefillTokens ** 2 + costs.c3 * decodeBatch;
      return { prefillTokens, decodeBatch, decodeContext, stepMs };
    });
    const { error, warnings } = planFor({ calibration: fitCosts(steps) });
    expect(error.measured).toBe(true);
    expect(error.why).toContain('60 measured steps');
    expect(warnings.join('\n')).toContain('beyond what was measured');
  });

  it('plans a load of thousands of requests a second in parts', () => {
    const fleet = planFor({ traffic: { ...TRAFFIC, rate: 2000 } });
    const single = planFor({ traffic: { ...TRAFFIC, rate: 200 } });
    expect(fleet.replicas.expected! / single.replicas.expected!).toBeGreaterThan(8);
    expect(fleet.replicas.expected! / single.replicas.expected!).toBeLessThan(11);
  });
});
