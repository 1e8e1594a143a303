import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CacheScope } from './cache-key.ts';
import { similarQuestion } from './similar-question.ts';
import { VectorIndex } from './vector-index.ts';

const scope: CacheScope = { tenant: 'a', modelRevision: 'm@1', endpoint: 'chat', determinism: 'greedy' };
const user = (content: unknown) => ({ role: 'user', content });
const system = { role: 'system', content: 'be brief' };
const of = (messages: unknown[], more: object = {}, where: Partial<CacheScope> = {}) =>
  similarQuestion({ ...scope, ...where }, { temperature: 0, messages, ...more });

describe('similarQuestion', () => {
  it('has one partition for all ways to ask', () => {
    expect(of([system, user('hi')])).toMatchObject({ text: 'hi' });
    expect(of([system, user('hi')])?.partitionText).toBe(of([system, user('hello')])?.partitionText);
  });

  it.each<[string, ReturnType<typeof of>]>([
    ['tenant', of([system, user('hi')], {}, { tenant: 'b' })],
    ['model', of([system, user('hi')], {}, { modelRevision: 'm@2' })],
    ['instructions', of([{ ...system, content: 'be long' }, user('hi')])],
    ['earlier message', of([system, user('x'), { role: 'assistant', content: 'y' }, user('hi')])],
    ['setting', of([system, user('hi')], { max_tokens: 5 })],
    ['tool', of([system, user('hi')], { tools: [{ type: 'function' }] })],
  ])('has another partition for another %s', (_name, other) => {
    expect(other?.partitionText).not.toBe(of([system, user('hi')])?.partitionText);
  });

  it.each<[string, ReturnType<typeof of>]>([
    ['ends with the answer of a tool', of([user('hi'), { role: 'tool', content: 'x' }])],
    ['holds a picture', of([user([{ type: 'image_url', image_url: { url: 'data:,' } }])])],
    ['says nothing', of([user('  ')])],
    ['is very long', of([user('x'.repeat(9_000))])],
    ['is sampled', of([user('hi')], { temperature: 1 })],
    ['is none', of([])],
  ])('is none where the chat %s', (_name, question) => expect(question).toBeNull());
});

const vector = (...numbers: number[]) => Float32Array.from(numbers);

describe('VectorIndex', () => {
  it('finds what is nearest by angle, exactly (property against a look at all)', () => {
    const numbers = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(numbers, { minLength: 1, maxLength: 40 }), numbers, (all, asked) => {
        const index = new VectorIndex({ bytesMax: 1e6, partitionMax: 1_000 });
        all.forEach((one, position) => void index.add('p', vector(...one), `k${position}`));
        const cosine = (one: number[]) => {
          const dot = one.reduce((sum, value, i) => sum + value * (asked[i] as number), 0);
          return dot / (Math.hypot(...one) * Math.hypot(...asked));
        };
        const best = Math.max(...all.map(cosine).filter((value) => !Number.isNaN(value)));
        const found = index.nearest('p', vector(...asked));
        if (found === null) expect(best).toBe(Number.NEGATIVE_INFINITY);
        else expect(found.similarity).toBeCloseTo(best, 4);
      }),
      { numRuns: 2_000 },
    );
  });

  it('never looks into another partition', () => {
    const index = new VectorIndex({ bytesMax: 1e6, partitionMax: 10 });
    index.add('p', vector(1, 0), 'k');
    expect(index.nearest('q', vector(1, 0))).toBeNull();
  });

  it('lets the oldest of a full partition go, and what was removed', () => {
    const index = new VectorIndex({ bytesMax: 1e6, partitionMax: 10 });
    for (let i = 0; i < 11; i++) index.add('p', vector(Math.cos(i / 10), Math.sin(i / 10)), `k${i}`);
    expect(index.nearest('p', vector(1, 0))?.key).toBe('k1');
    index.remove('p', 'k1');
    expect(index.nearest('p', vector(1, 0))?.key).toBe('k2');
  });

  it('never takes more bytes than it may; what was used last stays (property)', () => {
    const bytesMax = 20_000;
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 300 }), (partitions) => {
        const index = new VectorIndex({ bytesMax, partitionMax: 16 });
        for (const [position, partition] of partitions.entries()) {
          index.add(`p${partition}`, vector(1, position), `k${position}`);
          expect(index.bytes).toBeLessThanOrEqual(bytesMax);
          expect(index.nearest(`p${partition}`, vector(1, position))).not.toBeNull();
        }
      }),
      { numRuns: 300 },
    );
  });

  it('leaves out what points nowhere, and what has another length', () => {
    const index = new VectorIndex({ bytesMax: 1e6, partitionMax: 10 });
    index.add('p', vector(0, 0), 'zero');
    index.add('p', vector(1, 0), 'k');
    index.add('p', vector(1, 0, 0), 'longer');
    expect(index.nearest('p', vector(0, 0))).toBeNull();
    expect(index.nearest('p', vector(1, 0, 0))).toBeNull();
    expect(index.nearest('p', vector(1, 0.1))?.key).toBe('k');
  });
});
