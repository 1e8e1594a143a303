import { describe, expect, it } from 'vitest';
import { type PlanOptions, readQuestion } from './plan-question.ts';

const GOOD: PlanOptions = { rate: '20', prompt: '2000', output: '300', gpu: 'h100' };

describe('readQuestion', () => {
  it('fills in what was not said', () => {
    const { traffic, objective, model, tensorParallel, limits } = readQuestion(GOOD);
    expect(traffic).toMatchObject({ rate: 20, lengths: 'lognormal', arrivals: 'poisson', prefixHits: 0 });
    expect(objective).toEqual({ ttftMs: 1000, itlMs: null, percentile: 99 });
    expect(model.title).toBe('Llama-3.1-8B');
    expect(tensorParallel).toBeNull();
    expect(limits).toEqual({ maxNumSeqs: 256, maxBatchedTokens: 8192, memoryShare: 0.9 });
  });

  it('reads times with their unit, and models by their full name', () => {
    const { objective, model } = readQuestion({
      ...GOOD,
      sloTtft: '1.5s',
      sloItl: '50ms',
      model: 'qwen2.5-32b',
    });
    expect(objective).toMatchObject({ ttftMs: 1500, itlMs: 50 });
    expect(model.name).toBe('32b');
  });

  it('reads GPUs and models that are described', () => {
    const { gpu, model } = readQuestion({
      ...GOOD,
      gpu: 'memory=48,bandwidth=960,tflops=210',
      model: 'params=13b,layers=40,hidden=5120,kv-heads=40',
    });
    expect(gpu).toMatchObject({ memoryGiB: 48, bandwidthGBps: 960, tflops: { bf16: 210, fp8: null } });
    expect(model).toMatchObject({ params: 13e9, activeParams: 13e9, layers: 40, headDim: 128 });
  });

  it.each<[Partial<PlanOptions>, string]>([
    [{ rate: 'many' }, '--rate: found "many"; would be right: a number from 0.001 to 100000'],
    [{ rate: '' }, '--rate: found ""; would be right: a number'],
    [{ prompt: '2k' }, '--prompt: found "2k"; would be right: an integer from 1 to 1000000'],
    [{ gpu: 'h10' }, 'did you mean h100?'],
    [{ gpu: 'memory=48' }, '--gpu: found "memory=48"; would be right: also bandwidth=…, tflops=…'],
    [{ gpu: 'memory=48,speed=1' }, '--gpu speed: found "speed=1"; would be right: one of memory, bandwidth'],
    [{ model: '9b' }, '--model: found "9b"; would be right: 0.5b, 1b'],
    [{ model: 'params=x,layers=1' }, '--model params: found "x"'],
    [{ tp: '3' }, '--tp: found "3"; would be right: 1, 2, 4, 8'],
    [{ dtype: 'fp16' }, '--dtype: found "fp16"; would be right: bf16, fp8, int8, int4'],
    [{ kvDtype: 'int4' }, '--kv-dtype: found "int4"; would be right: bf16, fp8, int8'],
    [{ sloTtft: '1' }, '--slo-ttft: found "1"; would be right: a time with its unit'],
    [{ sloItl: '0ms' }, '--slo-itl: found "0ms"'],
    [{ percentile: '100' }, '--percentile: found "100"; would be right: a number from 50 to 99.9'],
    [{ distribution: 'normal' }, '--distribution: found "normal"; would be right: fixed, lognormal'],
    [{ prefixHits: '1' }, '--prefix-hits: found "1"; would be right: a number from 0 to 0.99'],
  ])('names option, value and what would be right: %j', (change, message) => {
    expect(() => readQuestion({ ...GOOD, ...change })).toThrow(message);
  });

  it.each(['rate', 'prompt', 'output', 'gpu'] as const)('misses --%s', (name) => {
    const { [name]: _, ...rest } = GOOD;
    expect(() => readQuestion(rest)).toThrow(`--${name} is missing`);
  });
});
