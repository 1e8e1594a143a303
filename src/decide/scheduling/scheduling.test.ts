import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ContinuationRequest, DeliveredSummary } from '../../contract/continuation.ts';
import type { EngineCapabilities } from '../../contract/fleet.ts';
import { planContinuation } from './continuation.ts';
import { decideRetry } from './retry.ts';

describe('decideRetry', () => {
  const state = { failure: 'engine-error' as const, attempts: 1, retriesMax: 2 };

  it('asks the budget for retries of bad answers', () => {
    expect(decideRetry(state)).toEqual({ retry: true, budgeted: true });
  });

  it('lets the requests of a dead replica go on whatever the budget says', () => {
    expect(decideRetry({ ...state, failure: 'connection-lost' })).toEqual({ retry: true, budgeted: false });
  });

  it('ends after the attempts that are allowed', () => {
    expect(decideRetry({ ...state, failure: 'connection-lost', attempts: 3 })).toMatchObject({
      retry: false,
    });
  });
});

describe('planContinuation', () => {
  const request: ContinuationRequest = {
    endpoint: 'chat',
    greedy: true,
    seeded: false,
    n: 1,
    tools: false,
    structured: false,
    logprobs: false,
    penalties: false,
    stopStrings: false,
    echo: false,
    extendable: true,
  };
  const delivered: DeliveredSummary = {
    tokenIds: false,
    otherThanText: false,
    opaque: false,
    trimmable: false,
  };
  const full: EngineCapabilities = {
    tokenReplay: true,
    chatContinuation: true,
    tokenize: true,
    determinism: 'seeded',
    wholeTokenEvents: true,
  };
  const tiers = (
    change: Partial<ContinuationRequest>,
    engine: Partial<EngineCapabilities> = {},
    had: Partial<DeliveredSummary> = {},
  ) =>
    planContinuation({ ...request, ...change }, { ...delivered, ...had }, { ...full, ...engine }).tiers.join(
      '',
    );

  it.each([
    ['plain text', {}, {}, {}, 'BACD'],
    ['token ids are known', {}, {}, { tokenIds: true }, 'ABCD'],
    ['sampled without a seed', { greedy: false }, {}, {}, 'BAD'],
    ['sampled with a seed: the replay is exact', { greedy: false, seeded: true }, {}, {}, 'CBAD'],
    [
      'completions of an engine that wraps them in its template',
      { endpoint: 'completions' },
      { templatesCompletions: true, tokenReplay: false },
      {},
      'CD',
    ],
    [
      'completions of an engine without chat continuation',
      { endpoint: 'completions' },
      { chatContinuation: false, tokenReplay: false },
      {},
      'BCD',
    ],
    [
      'white space at the seam of an engine that trims it',
      {},
      { trimsPrefill: true, tokenReplay: false },
      { trimmable: true },
      'CD',
    ],
    ['structured output', { structured: true }, {}, {}, 'CD'],
    ['structured and sampled', { structured: true, greedy: false }, {}, {}, 'D'],
    ['tools', { tools: true }, {}, {}, 'CD'],
    ['n = 2', { n: 2 }, {}, {}, 'CD'],
    ['penalties', { penalties: true }, {}, {}, 'CBD'],
    ['stop strings held back by characters', { stopStrings: true }, { wholeTokenEvents: false }, {}, 'CBAD'],
    [
      'white space at the seam of a trimming template',
      {},
      { wholeTokenEvents: false },
      { trimmable: true },
      'ABCD',
    ],
    [
      'an engine that can only repeat itself',
      {},
      { tokenReplay: false, chatContinuation: false, tokenize: false, determinism: 'greedy' },
      {},
      'CD',
    ],
    [
      'an engine that can do nothing',
      {},
      { tokenReplay: false, chatContinuation: false, tokenize: false, determinism: 'none' },
      {},
      'D',
    ],
    ['what can not be compared was delivered', { greedy: true }, {}, { opaque: true }, 'D'],
    ['reasoning was delivered', {}, {}, { otherThanText: true }, 'CD'],
    ['text completions', { endpoint: 'completions' }, { chatContinuation: false }, {}, 'BACD'],
  ] as const)('%s', (_name, change, engine, had, expected) => {
    expect(tiers(change, engine, had)).toBe(expected);
  });

  it('always ends with D, and never promises C where the engine does not repeat itself (property)', () => {
    const anyRequest = fc.record({
      endpoint: fc.constantFrom('chat' as const, 'completions' as const),
      greedy: fc.boolean(),
      seeded: fc.boolean(),
      n: fc.integer({ min: 1, max: 3 }),
      tools: fc.boolean(),
      structured: fc.boolean(),
      logprobs: fc.boolean(),
      penalties: fc.boolean(),
      stopStrings: fc.boolean(),
      echo: fc.boolean(),
      extendable: fc.boolean(),
    });
    const anyDelivered = fc.record({
      tokenIds: fc.boolean(),
      otherThanText: fc.boolean(),
      opaque: fc.boolean(),
      trimmable: fc.boolean(),
    });
    const anyEngine = fc.record({
      tokenReplay: fc.boolean(),
      chatContinuation: fc.boolean(),
      tokenize: fc.boolean(),
      wholeTokenEvents: fc.boolean(),
      determinism: fc.constantFrom('none' as const, 'greedy' as const, 'seeded' as const),
    });
    fc.assert(
      fc.property(anyRequest, anyDelivered, anyEngine, (asked, had, engine) => {
        const plan = planContinuation(asked, had, engine).tiers;
        expect(plan.at(-1)).toBe('D');
        expect(new Set(plan).size).toBe(plan.length);
        if (engine.determinism === 'none') expect(plan).not.toContain('C');
        if (asked.structured || asked.tools || asked.n > 1)
          expect(plan.every((tier) => tier === 'C' || tier === 'D')).toBe(true);
        if (!engine.tokenReplay) expect(plan).not.toContain('A');
      }),
      { numRuns: 5_000 },
    );
  });
});
