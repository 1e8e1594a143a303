import { describe, expect, it } from 'vitest';
import type { InferenceEndpoint } from '../envelope.ts';
import { mergedBody, requestPart } from './request-part.ts';

const part = (endpoint: InferenceEndpoint, fields: Record<string, unknown>) =>
  requestPart({ endpoint, fields: { model: 'm', ...fields } });
const merged = (endpoint: InferenceEndpoint, all: Record<string, unknown>[]) => {
  const parts = all.map((fields) => part(endpoint, fields));
  expect(new Set(parts.map((one) => one?.kind)).size).toBe(1);
  const body = mergedBody(
    { model: 'm', ...all[0] },
    parts.flatMap((one) => one ?? []),
  );
  return JSON.parse(body.toString()) as unknown;
};

describe('requests that are sent as one', () => {
  it('are one list of inputs, in the order of the requests', () => {
    expect(
      merged('embeddings', [
        { input: 'a', encoding_format: 'base64' },
        { encoding_format: 'base64', input: ['b', 'c'] },
      ]),
    ).toEqual({ model: 'm', encoding_format: 'base64', input: ['a', 'b', 'c'] });
    expect(merged('classify', [{ input: 'a' }, { input: ['b'] }])).toEqual({ model: 'm', input: ['a', 'b'] });
  });

  it('may be token ids, one list or several', () => {
    const all = [{ input: [1, 2] }, { input: [[3], [4, 5]] }];
    expect(merged('embeddings', all)).toEqual({ model: 'm', input: [[1, 2], [3], [4, 5]] });
    expect(all.map((fields) => part('embeddings', fields)?.weight)).toEqual([2, 3]);
  });

  it('are documents for one query, each request wanting its own number of the best', () => {
    const all = [
      { query: 'q', documents: ['a', 'b'], top_n: 1 },
      { query: 'q', documents: ['c'] },
    ];
    expect(merged('rerank', all)).toEqual({ model: 'm', query: 'q', documents: ['a', 'b', 'c'] });
    expect(all.map((fields) => part('rerank', fields)?.top)).toEqual([1, null]);
    expect(part('rerank', { query: 'q', documents: ['a'], top_n: 0 })?.top).toBeNull();
  });

  it('are pairs of texts, or one text against many', () => {
    const pairs = [
      { text_1: 'a', text_2: 'b' },
      { text_1: ['c', 'd'], text_2: ['e', 'f'] },
    ];
    expect(merged('score', pairs)).toEqual({ model: 'm', text_1: ['a', 'c', 'd'], text_2: ['b', 'e', 'f'] });
    const against = [
      { text_1: 'a', text_2: ['b', 'c'] },
      { text_1: 'a', text_2: ['d', 'e'] },
    ];
    expect(merged('score', against)).toEqual({ model: 'm', text_1: 'a', text_2: ['b', 'c', 'd', 'e'] });
  });

  it.each<[InferenceEndpoint, Record<string, unknown>, Record<string, unknown>]>([
    ['embeddings', { input: 'a' }, { input: 'a', encoding_format: 'base64' }],
    ['embeddings', { input: 'a', dimensions: 8 }, { input: 'a', dimensions: 9 }],
    ['embeddings', { input: 'a' }, { input: [1] }],
    ['embeddings', { input: 'a' }, { input: 'a', model: 'n' }],
    ['embeddings', { input: 'a', user: 'x' }, { input: 'a', user: 'y' }],
    ['rerank', { query: 'q', documents: ['a'] }, { query: 'p', documents: ['a'] }],
    ['rerank', { query: 'q', documents: ['a'] }, { query: 'q', documents: [{ text: 'a' }] }],
    ['score', { text_1: 'a', text_2: ['b', 'c'] }, { text_1: 'b', text_2: ['b', 'c'] }],
    ['score', { text_1: 'a', text_2: 'b' }, { text_1: 'a', text_2: ['b', 'c'] }],
  ])('have all else in common: %s %j and %j have not', (endpoint, a, b) => {
    const kinds = [part(endpoint, a)?.kind, part(endpoint, b)?.kind];
    expect(kinds.every((kind) => typeof kind === 'string')).toBe(true);
    expect(kinds[0]).not.toBe(kinds[1]);
  });

  it('are told apart by end point', () => {
    expect(part('embeddings', { input: 'a' })?.kind).not.toBe(part('classify', { input: 'a' })?.kind);
  });

  it.each<[InferenceEndpoint, Record<string, unknown>]>([
    ['chat', { messages: [] }],
    ['embeddings', { messages: [] }],
    ['embeddings', { input: 'a', messages: [] }],
    ['embeddings', { input: [] }],
    ['embeddings', { input: ['a', 1] }],
    ['embeddings', { input: [[]] }],
    ['embeddings', { input: [1.5] }],
    ['embeddings', { input: 'a', dimensions: Number.POSITIVE_INFINITY }],
    ['embeddings', { input: 'a', extra: { deep: { deeper: 1 } } }],
    ['classify', { input: [1, 'a'] }],
    ['rerank', { query: { text: 'q' }, documents: ['a'] }],
    ['rerank', { query: 'q', documents: ['a', { text: 'b' }] }],
    ['rerank', { query: 'q', documents: ['a'], top_n: -1 }],
    ['rerank', { query: 'q', documents: [{ image: 'x' }] }],
    ['score', { text_1: ['a', 'b'], text_2: ['c'] }],
    ['score', { query: 'a', items: ['b'] }],
    ['tokenize', { prompt: 'a' }],
  ])('are not: %s %j, which goes to the engine as it is', (endpoint, fields) => {
    expect(part(endpoint, fields)).toBeNull();
  });
});
