/** Streamed chat completions over the stock client. */
import type OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { failureOf, type OpenAiFixture, startOpenAiFixture, USER } from '../../support/openai-fixture.ts';
import { ANSWER_TEXT } from '../../support/scripted-engine.ts';

type Chunk = OpenAI.ChatCompletionChunk;
type Params = Partial<OpenAI.ChatCompletionCreateParamsStreaming> & { chat_template_kwargs?: object };
let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());
afterEach(() => fixture.reset());

async function chunksOf(params: Params = {}): Promise<Chunk[]> {
  const stream = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    temperature: 0,
    ...params,
    stream: true,
  });
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks: readonly Chunk[], index = 0) =>
  chunks
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.index === index)
    .map(({ delta }) => delta.content ?? '')
    .join('');

it('says the same as the whole answer', async () => {
  const whole = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    temperature: 0,
  });
  expect(textOf(await chunksOf())).toBe(whole.choices[0]?.message.content);
});

it('begins with the role, ends with the reason, and keeps one identity', async () => {
  const chunks = await chunksOf();
  expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
  expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
});

it('ends with a usage event when asked for it, and has none otherwise', async () => {
  const asked = await chunksOf({ stream_options: { include_usage: true } });
  expect(asked.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  expect((await chunksOf()).some(({ usage }) => usage)).toBe(false);
});

it('streams n answers side by side', async () => {
  const chunks = await chunksOf({ n: 2, temperature: 1, seed: 3 });
  const texts = [0, 1].map((index) => textOf(chunks, index));
  expect(texts[0]).not.toBe('');
  expect(texts[0]).not.toBe(texts[1]);
  expect(chunks.filter(({ choices }) => choices[0]?.finish_reason)).toHaveLength(2);
});

it('carries logprobs with each token', async () => {
  const chunks = await chunksOf({ logprobs: true, top_logprobs: 1, max_tokens: 3 });
  const tokens = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
  expect(tokens).toHaveLength(3);
  expect(tokens.map(({ token }) => token).join('')).toBe(textOf(chunks));
});

it('streams thoughts before the text', async () => {
  const chunks = await chunksOf({ chat_template_kwargs: { enable_thinking: true } });
  const deltas = chunks.map(
    ({ choices }) => choices[0]?.delta as { content?: string; reasoning_content?: string },
  );
  const lastThought = deltas.findLastIndex((delta) => delta?.reasoning_content);
  const firstText = deltas.findIndex((delta) => delta?.content);
  expect(lastThought).toBeGreaterThan(0);
  expect(firstText).toBeGreaterThan(lastThought);
});

it('throws an error that comes inside the stream, and gives no end before it', async () => {
  fixture.engine.base = {
    errorEventAfter: 2,
    errorEvent: { message: 'bad prompt', type: 'invalid_request_error', param: null, code: 400 },
  };
  const chunks: Chunk[] = [];
  const stream = await fixture.client.chat.completions.create({
    model: 'script',
    messages: USER,
    stream: true,
  });
  const error = await failureOf(
    (async () => {
      for await (const chunk of stream) chunks.push(chunk);
    })(),
  );
  expect(error.message).toContain('bad prompt');
  expect(chunks.some(({ choices }) => choices[0]?.finish_reason)).toBe(false);
});

it('throws when an engine dies and nothing can go on', async () => {
  fixture.engine.next = [{ dieAfter: 3 }];
  fixture.engine.base = { refusePath: '/v1/chat/completions', status: 400 };
  const stream = await fixture.client.chat.completions.create({
    model: 'script',
    messages: USER,
    stream: true,
    tools: [{ type: 'function', function: { name: 'f' } }],
  });
  const error = await failureOf(
    (async () => {
      for await (const _ of stream);
    })(),
  );
  expect(error).toMatchObject({ code: 'stream_interrupted', type: 'upstream_error' });
});

it('goes on unnoticed when an engine dies in the middle of a text', async () => {
  fixture.engine.next = [{ dieAfter: 4 }];
  expect(textOf(await chunksOf({ model: 'script' }))).toBe(ANSWER_TEXT);
});

it('reads streams with CRLF and comments', async () => {
  const event = (delta: object, finish: string | null) =>
    `data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta, finish_reason: finish }] })}\r\n\r\n`;
  fixture.engine.next = [
    {
      chunks: [
        ': hi\r\n\r\n',
        event({ content: 'a' }, null),
        event({ content: 'b' }, 'stop'),
        'data: [DONE]\r\n\r\n',
      ],
    },
  ];
  expect(textOf(await chunksOf({ model: 'script' }))).toBe('ab');
});

it('can be read by two readers (tee)', async () => {
  const stream = await fixture.client.chat.completions.create({
    model: 'script',
    messages: USER,
    stream: true,
  });
  const texts = await Promise.all(
    stream.tee().map(async (half) => {
      const chunks: Chunk[] = [];
      for await (const chunk of half) chunks.push(chunk);
      return textOf(chunks);
    }),
  );
  expect(texts).toEqual([ANSWER_TEXT, ANSWER_TEXT]);
});

it('gives the headers of the answer before its end', async () => {
  fixture.engine.base = { paceMs: 10 };
  const { data: stream, response } = await fixture.client.chat.completions
    .create({ model: 'script', messages: USER, stream: true })
    .withResponse();
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  expect(response.headers.get('x-accel-buffering')).toBe('no');
  stream.controller.abort();
});
