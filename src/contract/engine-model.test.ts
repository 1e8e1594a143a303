import { describe, expect, it } from 'vitest';
import { stepMs } from './engine-model.ts';

describe('stepMs', () => {
  it('adds what a step costs by itself, per token of prefill, per sequence and per token of context', () => {
    const costs = { c0: 10, c1: 0.032, c2: 5.3e-7, c3: 0.01, c4: 3.9e-5 };
    const decode = stepMs(costs, { prefillTokens: 0, decodeBatch: 8, decodeContext: 800 });
    expect(decode).toBeCloseTo(10.1112, 6);
    const prefill = stepMs(costs, { prefillTokens: 2000, decodeBatch: 0, decodeContext: 0 });
    expect(prefill).toBeCloseTo(76.12, 6);
  });
});
