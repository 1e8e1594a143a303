import fc from 'fast-check';
import type { BatchItem, TokenBias } from 'node-llama-cpp';
import { describe, expect, it } from 'vitest';
import type { GenerateRequest, SamplingParams } from '../../../contract/ports/engine-core.ts';
import { planExactBatch, planFullBatch } from './batch-plan.ts';
import { evaluateOptions, logitBiases, positionSeed, type SamplingState } from './sampling-options.ts';

const sampling: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: -1,
  minP: 0,
  seed: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: {},
};

function state(change: Partial<SamplingParams>, request: Partial<GenerateRequest> = {}): SamplingState {
  return {
    request: {
      requestId: 'r',
      promptTokens: [1],
      maxTokens: 10,
      minTokens: 0,
      stopTokenIds: [],
      ignoreEos: false,
      sampling: { ...sampling, ...change },
      topLogprobs: undefined,
      jsonSchema: undefined,
      priority: 0,
      ...request,
    },
    seed: 1,
    tokens: [1, 5, 5, 6],
    generatedCounts: new Map([
      [5, 2],
      [6, 1],
    ]),
    generated: 3,
    endTokens: [2],
    makeBias: (biases) => biases as unknown as TokenBias,
  };
}

describe('sampling options', () => {
  it.each([0, 1e-6, 1e-7, 1e-38, 1e-45, 1e-300])('takes temperature %d for greedy', (temperature) => {
    expect(evaluateOptions(state({ temperature })).temperature).toBe(0);
  });

  it('leaves a temperature that changes something as it is', () => {
    expect(evaluateOptions(state({ temperature: 1e-3 })).temperature).toBe(1e-3);
  });

  it('keys chance by position: the same seed and position, the same draw', () => {
    expect(positionSeed(7, 100)).toBe(positionSeed(7, 100));
    expect(positionSeed(7, 100)).not.toBe(positionSeed(7, 101));
    fc.assert(
      fc.property(fc.integer(), fc.nat(), (seed, position) => {
        const drawn = positionSeed(seed, position);
        expect(drawn).toBeGreaterThanOrEqual(0);
        expect(drawn).toBeLessThan(2 ** 31);
      }),
    );
    expect(evaluateOptions(state({})).seed).toBe(positionSeed(1, 4));
  });

  it('adds penalties on generated tokens to the biases of the request', () => {
    const biases = logitBiases(
      state({ presencePenalty: 0.5, frequencyPenalty: 1, logitBias: { 5: 3, 9: -1 } }),
    );
    expect([...biases].sort(([a], [b]) => a - b)).toEqual([
      [5, 3 - 0.5 - 2],
      [6, -1.5],
      [9, -1],
    ]);
  });

  it('bans the end until minTokens are there, but not where a grammar decides', () => {
    const request = { minTokens: 4, stopTokenIds: [8] };
    expect([...logitBiases(state({}, request)).keys()]).toEqual([2, 8]);
    expect(logitBiases(state({}, { ...request, minTokens: 3 })).size).toBe(0);
    expect(logitBiases(state({}, { ...request, jsonSchema: {} })).size).toBe(0);
  });

  it('leaves off what is neutral', () => {
    const options = evaluateOptions(state({}));
    expect(options).toMatchObject({ topK: 0, topP: 1, minP: 0, temperature: 1, yieldEogToken: true });
    expect(options).not.toHaveProperty('tokenBias');
    expect(options).not.toHaveProperty('repeatPenalty');
    expect(evaluateOptions(state({ repetitionPenalty: 1.1 })).repeatPenalty).toMatchObject({
      punishTokens: [1, 5, 5, 6],
      penalty: 1.1,
    });
  });
});

describe('batch plan', () => {
  const item = (length: number): BatchItem => ({
    tokens: Array(length).fill(1) as BatchItem['tokens'],
    logits: [],
    evaluationPriority: 5,
  });
  const lengths = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 });

  it('takes one token of each sequence in exact mode', () => {
    const items = [item(300), item(1), item(5)];
    expect(planExactBatch({ items, size: 512 }).map((one) => one.processAmount)).toEqual([1, 1, 1]);
  });

  it('fills batches in full mode, never beyond their size, and serves running answers first', () => {
    fc.assert(
      fc.property(lengths, fc.integer({ min: 20, max: 512 }), (sizes, size) => {
        const items = sizes.map(item);
        const plan = planFullBatch({ items, size });
        const total = plan.reduce((sum, one) => sum + one.processAmount, 0);
        expect(total).toBe(
          Math.min(
            size,
            sizes.reduce((sum, length) => sum + length, 0),
          ),
        );
        for (const one of plan) expect(one.processAmount).toBeLessThanOrEqual(one.item.tokens.length);
        for (const answer of items.filter((one) => one.tokens.length === 1)) {
          expect(plan.some((one) => one.item === answer)).toBe(true);
        }
      }),
    );
  });
});
