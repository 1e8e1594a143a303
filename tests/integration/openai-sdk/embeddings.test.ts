/** Embeddings over the stock client, which asks for base64 unless told otherwise; and what is made of vectors. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { failureOf, type OpenAiFixture, startOpenAiFixture } from '../../support/openai-fixture.ts';

let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

const embed = (input: string | string[] | number[] | number[][], options: object = {}) =>
  fixture.client.embeddings.create({ model: 'sim', input, ...options });
const lengthOf = (vector: readonly number[]) => Math.hypot(...vector);
const post = <T>(path: string, body: object) =>
  fixture.client.post<T>(path, { body: { model: 'sim', ...body } });

it('embeds a text by default encoding, as floats to 32 bits', async () => {
  const [packed, plain] = await Promise.all([embed('a text'), embed('a text', { encoding_format: 'float' })]);
  const floats = plain.data[0]?.embedding ?? [];
  expect(packed.data[0]?.embedding).toEqual(floats.map((value) => Math.fround(value)));
  expect(lengthOf(floats)).toBeCloseTo(1, 6);
});

it('leaves base64 as text to whoever asks for it', async () => {
  const { data } = await embed('a text', { encoding_format: 'base64' });
  const bytes = Buffer.from(data[0]?.embedding as unknown as string, 'base64');
  expect(bytes.length).toBe(64 * 4);
});

it('embeds a list of texts, in order, and counts their tokens', async () => {
  const answer = await embed(['one', 'two', 'three words here']);
  expect(answer.data.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(answer.usage.prompt_tokens).toBe(answer.usage.total_tokens);
});

it('embeds token ids, one list or many, as the text that they are', async () => {
  const { tokens } = await post<{ tokens: number[] }>('/tokenize', { prompt: 'a text' });
  const [text, ids, lists] = await Promise.all([embed('a text'), embed(tokens), embed([tokens, tokens])]);
  expect(ids.data[0]?.embedding).toEqual(text.data[0]?.embedding);
  expect(lists.data).toHaveLength(2);
});

it('cuts vectors to the dimensions asked for, of length 1', async () => {
  const { data } = await embed('a text', { dimensions: 16, encoding_format: 'float' });
  expect(data[0]?.embedding).toHaveLength(16);
  expect(lengthOf(data[0]?.embedding ?? [])).toBeCloseTo(1, 6);
});

it('refuses more dimensions than the model has', async () => {
  expect(await failureOf(embed('a text', { dimensions: 65 }))).toMatchObject({
    status: 400,
    param: 'dimensions',
  });
});

it('refuses an empty input', async () => {
  expect(await failureOf(embed([]))).toMatchObject({ status: 400, param: 'input' });
});

it('reranks documents by their likeness to the query', async () => {
  const documents = ['zebra crossing', 'the harbor at dawn', 'unrelated'];
  const body = { query: 'the harbor at dawn', documents, top_n: 2 };
  const { results } = await post<{ results: { index: number; relevance_score: number }[] }>('/rerank', body);
  expect(results).toHaveLength(2);
  expect(results[0]).toMatchObject({ index: 1, relevance_score: expect.closeTo(1, 6) });
});

it('scores pairs of texts', async () => {
  const { data } = await post<{ data: { score: number }[] }>('/score', {
    text_1: 'a text',
    text_2: ['a text', 'zoo'],
  });
  expect(data[0]?.score).toBeCloseTo(1, 6);
  expect(data[1]?.score).toBeLessThan(0.99);
});

it('tokenizes and comes back', async () => {
  const prompt = 'The harbor, 東京 🙂';
  const { tokens, count } = await post<{ tokens: number[]; count: number }>('/tokenize', { prompt });
  expect(tokens).toHaveLength(count);
  expect((await post<{ prompt: string }>('/detokenize', { tokens })).prompt).toBe(prompt);
});
