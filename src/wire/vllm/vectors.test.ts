/** Embeddings and what is made of them, over a core whose vector of n tokens is [n, 0.5]. */
import { describe, expect, it } from 'vitest';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { ScriptedCore } from '../../../tests/support/scripted-core.ts';
import { systemClock } from '../../base/clock.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { createVllmDialect } from './dialect.ts';

async function post(path: string, body: object, core: EngineCore = new ScriptedCore({ answer: '' })) {
  const dialect = createVllmDialect({
    core,
    release: '1',
    clock: systemClock,
  });
  const exchange = new FakeExchange('POST', path, body);
  dialect.handle(exchange);
  await exchange.answered;
  return { status: exchange.status, body: JSON.parse(exchange.text), error: exchange.json.error };
}

const vectorOf = (n: number) => [n, 0.5];
const cosine = (a: number[], b: number[]) =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));

describe('embeddings', () => {
  it('take text, texts, ids and lists of ids', async () => {
    for (const [input, tokens] of [
      ['abc', [3]],
      [
        ['a', 'bb'],
        [1, 2],
      ],
      [[1, 2, 3, 4], [4]],
      [
        [[1], [2, 3]],
        [1, 2],
      ],
    ] as const) {
      const { body } = await post('/v1/embeddings', { input });
      expect(body.data.map((item: { embedding: number[] }) => item.embedding)).toEqual(tokens.map(vectorOf));
      expect(body.usage.prompt_tokens).toBe(tokens.reduce((sum: number, count) => sum + count, 0));
    }
  });

  it('are little-endian 32-bit floats in base64', async () => {
    const { body } = await post('/v1/embeddings', { input: 'abc', encoding_format: 'base64' });
    const bytes = Buffer.from(body.data[0].embedding, 'base64');
    expect([bytes.length, bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([8, 3, 0.5]);
  });

  it('are cut to the dimensions asked for, of length 1 again, and never stretched', async () => {
    const { body } = await post('/v1/embeddings', { input: 'abc', dimensions: 1 });
    expect(body.data[0].embedding).toEqual([1]);
    expect((await post('/v1/embeddings', { input: 'abc', dimensions: 2 })).body.data[0].embedding).toEqual([
      3, 0.5,
    ]);
    const { status, error } = await post('/v1/embeddings', { input: 'abc', dimensions: 3 });
    expect([status, error.param]).toEqual([400, 'dimensions']);
  });
});

describe('rerank', () => {
  it('orders documents by their likeness to the query, best first', async () => {
    for (const path of ['/v1/rerank', '/v2/rerank', '/rerank']) {
      const { body } = await post(path, { query: 'abc', documents: ['a', 'abcd', { text: 'abc' }] });
      expect(body.results).toEqual([
        { index: 2, document: { text: 'abc' }, relevance_score: expect.closeTo(1) },
        { index: 1, document: { text: 'abcd' }, relevance_score: cosine([3, 0.5], [4, 0.5]) },
        { index: 0, document: { text: 'a' }, relevance_score: cosine([3, 0.5], [1, 0.5]) },
      ]);
      expect(body.usage).toEqual({ prompt_tokens: 11, total_tokens: 11 });
      expect([body.id, body.model]).toEqual([expect.stringMatching(/^rerank-/), 'scripted']);
    }
  });

  it('keeps the best ones, and their texts only where wanted', async () => {
    const ask = { query: 'abc', documents: ['a', 'abc'], top_n: 1, return_documents: false };
    expect((await post('/v1/rerank', ask)).body.results).toEqual([
      { index: 1, relevance_score: expect.closeTo(1) },
    ]);
  });

  it.each([
    [{ documents: ['a'] }, 'query'],
    [{ query: 'a' }, 'documents'],
    [{ query: 'a', documents: [] }, 'documents'],
    [{ query: 'a', documents: ['b', 1] }, 'documents[1]'],
    [{ query: 'a', documents: ['b'], top_n: -1 }, 'top_n'],
    [{ query: 'a', documents: Array.from({ length: 2049 }, () => 'b') }, 'documents'],
  ])('refuses %j', async (body, param) => {
    const { status, error } = await post('/v1/rerank', body);
    expect([status, error.param]).toEqual([400, param]);
  });
});

describe('score', () => {
  it('compares one text with many, or texts in pairs', async () => {
    const scores = async (left: unknown, right: unknown) =>
      (await post('/v1/score', { text_1: left, text_2: right })).body.data.map(
        (item: { score: number }) => item.score,
      );
    expect(await scores('abc', ['a', 'abc'])).toEqual([cosine([3, 0.5], [1, 0.5]), expect.closeTo(1)]);
    expect(await scores(['a', 'abc'], ['a', 'abc'])).toEqual([expect.closeTo(1), expect.closeTo(1)]);
    expect(await scores('a', 'a')).toHaveLength(1);
    // Rounding would make some of these a little more than 1.
    const texts = Array.from({ length: 40 }, (_, length) => 'b'.repeat(length + 1));
    for (const score of await scores(texts, texts)) expect(score).toBeLessThanOrEqual(1);
  });

  it('refuses lists that do not pair', async () => {
    const { status, error } = await post('/score', { text_1: ['a', 'b'], text_2: ['a', 'b', 'c'] });
    expect([status, error.param]).toEqual([400, 'text_1']);
  });
});

describe('tokenize', () => {
  it('reads its options', async () => {
    const { body } = await post('/tokenize', {
      prompt: 'ab',
      return_token_strs: true,
      add_special_tokens: false,
    });
    expect(body).toEqual({ count: 2, max_model_len: 256, tokens: [97, 98], token_strs: ['a', 'b'] });
    const messages = [{ role: 'user', content: 'a' }];
    expect(
      (await post('/tokenize', { messages, add_generation_prompt: false, chat_template_kwargs: {} })).status,
    ).toBe(200);
    expect((await post('/tokenize', { messages, chat_template_kwargs: 1 })).error.param).toBe(
      'chat_template_kwargs',
    );
    expect((await post('/tokenize', { prompt: 'a', add_special_tokens: 1 })).error.param).toBe(
      'add_special_tokens',
    );
  });
});

describe('classification', () => {
  const core: EngineCore = Object.assign(new ScriptedCore({ answer: '' }), {
    classify: async (tokens: readonly number[]) => ({
      label: tokens.length > 1 ? 'long' : 'short',
      probs: [0.25, 0.75],
    }),
  });

  it('says of each input its label and the probability of each', async () => {
    const { body } = await post('/classify', { input: ['abc', 'd'] }, core);
    expect(body).toEqual({
      id: expect.stringMatching(/^classify-/),
      object: 'list',
      created: expect.any(Number),
      model: 'scripted',
      data: [
        { index: 0, label: 'long', probs: [0.25, 0.75], num_classes: 2 },
        { index: 1, label: 'short', probs: [0.25, 0.75], num_classes: 2 },
      ],
      usage: { prompt_tokens: 4, total_tokens: 4, completion_tokens: 0, prompt_tokens_details: null },
    });
  });

  it('refuses what is no input, and is not there where the model does not classify', async () => {
    expect((await post('/classify', { input: [] }, core)).status).toBe(400);
    const { status, error } = await post('/classify', { input: 'a' });
    expect([status, error.message]).toEqual([404, expect.not.stringContaining('/classify,')]);
  });
});
