/** The dialects of other engines over the same core: what sets each apart from vLLM, as its sources or a run of it say. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeExchange } from '../../tests/support/fake-exchange.ts';
import { jsonObject, jsonValue } from '../../tests/support/hostile-json.ts';
import { ScriptedCore, type ScriptedCoreOptions } from '../../tests/support/scripted-core.ts';
import { systemClock } from '../base/clock.ts';
import { llamaServerVariant } from './llama-server/variant.ts';
import { ollamaVariant } from './ollama/variant.ts';
import { sglangVariant } from './sglang/variant.ts';
import { tgiVariant } from './tgi/variant.ts';
import { createVllmDialect, type VllmDialectOptions } from './vllm/dialect.ts';
import type { DialectVariant } from './vllm/dialect-variant.ts';

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'hi' }];
const usage = { stream_options: { include_usage: true } };

const llamaServer = llamaServerVariant({ slots: 2, metrics: true, slotActions: false });
const VARIANTS: Record<string, DialectVariant | undefined> = {
  vllm: undefined,
  sglang: sglangVariant(true),
  tgi: tgiVariant,
  'llama-server': llamaServer,
  ollama: ollamaVariant,
};

function setUp(
  variant: DialectVariant | undefined,
  core: ScriptedCoreOptions = { answer: 'ab' },
  more: Partial<VllmDialectOptions> = {},
) {
  const scripted = new ScriptedCore(core);
  const dialect = createVllmDialect({
    core: scripted,
    release: '1.2.3',
    clock: systemClock,
    ...(variant !== undefined && { variant }),
    ...more,
  });
  const call = async (method: string, path: string, body?: unknown) => {
    const exchange = new FakeExchange(method, path, body);
    dialect.handle(exchange);
    await exchange.answered;
    return exchange;
  };
  return { core: scripted, dialect, call };
}

// biome-ignore lint/suspicious/noExplicitAny: answers of five engines, each with fields of its own
type Json = any;

const chunksOf = (exchange: FakeExchange): Json[] =>
  exchange.text
    .split('\n\n')
    .map((line) => line.replace(/^data: ?/, ''))
    .filter((data) => data.startsWith('{'))
    .map((data) => JSON.parse(data));

describe('SGLang', () => {
  const { call } = setUp(sglangVariant(true));

  it('says null of everything, and matched_stop', async () => {
    const chunks = chunksOf(await call('POST', CHAT, { messages, stream: true, ...usage }));
    expect(chunks[0].choices[0].delta).toEqual({
      role: 'assistant',
      content: '',
      reasoning_content: null,
      tool_calls: null,
    });
    expect(chunks.map(({ usage }) => usage === null)).toEqual([true, true, true, true, false]);
    expect(chunks[3].choices[0]).toMatchObject({ finish_reason: 'stop', matched_stop: null });
    expect(chunks[3].choices[0]).not.toHaveProperty('stop_reason');
  });

  it('has flat errors, and refuses token ids in streamed chat', async () => {
    const bad = await call('POST', CHAT, { messages: [] });
    expect([bad.status, bad.json]).toEqual([
      400,
      expect.objectContaining({ object: 'error', type: 'BadRequestError', code: 400, param: 'messages' }),
    ]);
    const ids = await call('POST', CHAT, { messages, stream: true, return_token_ids: true });
    expect(ids.text).toContain('return_token_ids is not supported with streaming');
    expect((await call('GET', '/nothing')).json).toEqual({ detail: 'Not Found' });
  });

  it('answers /generate with text and ids, whole and with the whole text in every event', async () => {
    const asked = { text: 'hi', sampling_params: { max_new_tokens: 1 } };
    expect((await call('POST', '/generate', asked)).json).toMatchObject({
      text: 'a',
      output_ids: [97],
      meta_info: { prompt_tokens: 2, completion_tokens: 1, finish_reason: { type: 'length', length: 1 } },
    });
    const stream = await call('POST', '/generate', { input_ids: [104, 105], stream: true });
    expect(chunksOf(stream).map(({ text }) => text)).toEqual(['a', 'ab', 'ab']);
    expect(stream.text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('pauses and goes on, and has no metrics unless told to', async () => {
    await call('POST', '/pause_generation', {});
    expect((await call('POST', CHAT, { messages })).status).toBe(503);
    await call('POST', '/continue_generation', {});
    expect((await call('POST', CHAT, { messages })).status).toBe(200);
    expect((await call('GET', '/metrics')).text).toContain('sglang:num_running_reqs{');
    expect((await setUp(sglangVariant(false)).call('GET', '/metrics')).status).toBe(404);
  });
});

describe('text-generation-inference', () => {
  const { call, core } = setUp(tgiVariant);

  it('writes no space behind `data:`, the role in every delta, and "" for a completion that goes on', async () => {
    const chat = await call('POST', CHAT, { messages, stream: true, ...usage });
    expect(chat.text.startsWith('data:{')).toBe(true);
    expect(chat.text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(chunksOf(chat).map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: 'assistant', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'assistant', content: '' },
      undefined,
    ]);
    const completion = chunksOf(await call('POST', '/v1/completions', { prompt: 'hi', stream: true }));
    expect(completion.map(({ choices }) => choices[0].finish_reason)).toEqual(['', '', 'eos_token']);
    expect(completion.at(-1).usage).toMatchObject({ completion_tokens: 2 });
  });

  it('says what is wrong with a streamed request inside a stream of status 200, with [DONE] after it', async () => {
    const streamed = await call('POST', CHAT, { messages: [], stream: true });
    expect(streamed.status).toBe(200);
    expect(chunksOf(streamed)).toEqual([
      { error: { message: expect.stringMatching(/^Input validation error: /), http_status_code: 422 } },
    ]);
    expect(streamed.text.endsWith('data: [DONE]\n\n')).toBe(true);
    const whole = await call('POST', CHAT, { messages: [] });
    expect([whole.status, whole.json]).toEqual([422, expect.objectContaining({ error_type: 'validation' })]);
  });

  it('goes on with a last message of the assistant, its end trimmed, and keeps a stop string in the text', async () => {
    const continued = [...messages, { role: 'assistant', content: 'so far  ' }];
    await call('POST', CHAT, { messages: continued });
    const { promptTokens = [] } = core.requests.at(-1) ?? {};
    expect(Buffer.from(promptTokens).toString()).toBe('hi|so far');
    expect((await call('POST', CHAT, { messages, stop: ['b'] })).json.choices[0].message.content).toBe('ab');
  });

  it('is overloaded with 429, failed with 424, and unhealthy while it stops', async () => {
    const full = setUp(tgiVariant);
    full.core.full = true;
    const busy = await full.call('POST', CHAT, { messages });
    expect([busy.status, busy.json]).toEqual([
      429,
      { error: 'Model is overloaded', error_type: 'overloaded' },
    ]);
    const broken = setUp(tgiVariant, { answer: 'ab', failAfter: { steps: 0, error: new Error('CUDA') } });
    expect((await broken.call('POST', CHAT, { messages })).status).toBe(424);
    void full.dialect.drain();
    expect((await full.call('GET', '/health')).json).toEqual({
      error: 'unhealthy',
      error_type: 'healthcheck',
    });
  });

  it('answers /generate and /generate_stream', async () => {
    const asked = { inputs: 'hi', parameters: { max_new_tokens: 2, details: true } };
    expect((await call('POST', '/generate', asked)).json).toMatchObject({
      generated_text: 'ab',
      details: { finish_reason: 'eos_token', generated_tokens: 2 },
    });
    const events = chunksOf(await call('POST', '/generate_stream', asked));
    expect(events.map(({ token }) => token.text)).toEqual(['a', 'b', '']);
    expect(events.at(-1)).toMatchObject({ generated_text: 'ab', details: { input_length: 2 } });
  });
});

describe('llama-server', () => {
  const { call } = setUp(llamaServer);

  it('writes chunks as build 11434 does', async () => {
    const chunks = chunksOf(await call('POST', CHAT, { messages, stream: true, ...usage }));
    expect(chunks.map(({ choices }) => choices[0])).toEqual([
      { finish_reason: null, index: 0, delta: { role: 'assistant', content: null } },
      { finish_reason: null, index: 0, delta: { content: 'a' } },
      { finish_reason: null, index: 0, delta: { content: 'b' } },
      { finish_reason: 'stop', index: 0, delta: {} },
      undefined,
    ]);
    expect(chunks.at(-1)).toMatchObject({
      usage: { prompt_tokens: 2, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 0 } },
      timings: { predicted_n: 2 },
    });
    const completion = chunksOf(await call('POST', '/v1/completions', { prompt: 'hi', stream: true }));
    expect(completion.at(-1)).toMatchObject({ choices: [{ text: '', finish_reason: 'stop' }], usage: {} });
    expect(completion[0].id).toMatch(/^chatcmpl-/);
  });

  it('repeats a prefilled answer before its own', async () => {
    const continued = {
      messages: [...messages, { role: 'assistant', content: 'xyz' }],
      continue_final_message: true,
      add_generation_prompt: false,
    };
    expect((await call('POST', CHAT, continued)).json.choices[0].message.content).toBe('xyzab');
    const chunks = chunksOf(await call('POST', CHAT, { ...continued, stream: true }));
    expect(chunks.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe('xyzab');
  });

  it('has errors with code and type, and calls that it must be told to have', async () => {
    const tooLong = await call('POST', '/v1/completions', { prompt: 'x'.repeat(300) });
    expect([tooLong.status, tooLong.json.error.type]).toEqual([400, 'exceed_context_size_error']);
    expect((await call('GET', '/nothing')).json).toEqual({
      error: { message: 'File Not Found', type: 'not_found_error', code: 404 },
    });
    expect((await call('POST', '/slots/0?action=erase')).json.error.message).toBe(
      'This server does not support slots action. Start it with `--slot-save-path`',
    );
    const open = setUp(llamaServerVariant({ slots: 2, metrics: false, slotActions: true }));
    expect((await open.call('POST', '/slots/1?action=erase')).json).toEqual({ id_slot: 1, n_erased: 0 });
    expect((await open.call('GET', '/metrics')).status).toBe(501);
  });

  it('answers its own end points', async () => {
    expect((await call('GET', '/props')).json).toMatchObject({ total_slots: 2 });
    expect((await call('POST', '/tokenize', { content: 'ab' })).json).toEqual({ tokens: [97, 98] });
    expect((await call('POST', '/detokenize', { tokens: [97, 98] })).json).toEqual({ content: 'ab' });
    const whole = await call('POST', '/completion', { prompt: 'hi', n_predict: 1, return_tokens: true });
    expect(whole.json).toMatchObject({ content: 'a', tokens: [97], stop: true, stop_type: 'limit' });
    const events = chunksOf(await call('POST', '/completion', { prompt: 'hi', stream: true }));
    expect(events.map(({ content, stop }) => [content, stop])).toEqual([
      ['a', false],
      ['b', false],
      ['', true],
    ]);
  });
});

describe('Ollama', () => {
  const { call, core } = setUp(ollamaVariant);

  it('has no health and no metrics, and lists models by tag', async () => {
    for (const path of ['/health', '/metrics']) {
      const gone = await call('GET', path);
      expect([gone.status, gone.text]).toEqual([404, '404 page not found']);
    }
    expect((await call('GET', '/api/version')).json).toEqual({ version: '1.2.3' });
    expect((await call('GET', '/')).text).toBe('Ollama is running');
    expect((await call('GET', '/v1/models')).json.data[0].id).toBe('scripted:latest');
    expect((await call('GET', '/api/tags')).json).toMatchObject({ models: [{ name: 'scripted:latest' }] });
    expect((await call('POST', CHAT, { messages, model: 'scripted:latest' })).status).toBe(200);
    const unknown = await call('POST', CHAT, { messages, model: 'other' });
    expect([unknown.status, unknown.json.error.type]).toEqual([404, 'not_found_error']);
  });

  it('brings the role with the first text, and an empty usage in every event of a completion', async () => {
    const chat = chunksOf(await call('POST', CHAT, { messages, stream: true, ...usage }));
    expect(chat.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: 'assistant', content: 'a' },
      { content: 'b' },
      {},
      undefined,
    ]);
    const completion = await call('POST', '/v1/completions', { prompt: 'hi', stream: true, ...usage });
    expect(chunksOf(completion).map(({ usage }) => usage.completion_tokens)).toEqual([0, 0, 0, 2]);
  });

  it('passes over what it does not know, so no answer is gone on with', async () => {
    const continued = [...messages, { role: 'assistant', content: 'xyz' }];
    await call('POST', CHAT, {
      messages: continued,
      continue_final_message: true,
      add_generation_prompt: false,
    });
    expect(core.requests.at(-1)?.generatedPrefix ?? 0).toBe(0);
  });

  it('answers /api/generate in lines of JSON, and unloads by keep_alive 0', async () => {
    const lines = await call('POST', '/api/generate', { prompt: 'hi' });
    expect(lines.answerHeaders['content-type']).toBe('application/x-ndjson');
    const parsed = lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Json);
    expect(parsed.map(({ response, done }) => [response, done])).toEqual([
      ['a', false],
      ['b', false],
      ['', true],
    ]);
    expect((await call('POST', '/api/generate', { keep_alive: 0 })).json).toMatchObject({
      done: true,
      done_reason: 'unload',
    });
    const whole = await call('POST', '/api/chat', { messages, stream: false });
    expect(whole.json).toMatchObject({ message: { content: 'ab' }, eval_count: 2 });
  });
});

describe('vLLM in dev mode', () => {
  it('pauses when its requests have ended, goes on, and aborts by id', async () => {
    const { call } = setUp(undefined, { answer: 'ab' }, { devMode: true });
    expect((await call('POST', '/pause?mode=wait')).json).toEqual({ status: 'paused' });
    expect((await call('GET', '/is_paused')).json).toEqual({ is_paused: true });
    expect((await call('POST', CHAT, { messages })).status).toBe(503);
    expect((await call('POST', '/resume')).json).toEqual({ status: 'resumed' });
    expect((await call('POST', CHAT, { messages })).status).toBe(200);
    const none = await call('POST', '/abort_requests', { request_ids: ['chatcmpl-x'] });
    expect(none.json).toEqual({ status: 'aborted', aborted: 0 });
    expect((await call('POST', '/reset_prefix_cache')).json).toEqual({ success: false });
    expect((await setUp(undefined).call('POST', '/pause')).status).toBe(404);
  });
});

describe.each(Object.entries(VARIANTS))('%s', (_name, variant) => {
  const PATHS = [
    ...[CHAT, '/v1/completions', '/generate', '/generate_stream', '/completion', '/tokenize'],
    ...['/api/generate', '/api/chat', '/detokenize', '/apply-template', '/slots/0', '/abort_request'],
  ];
  const field = fc.constantFrom(
    ...['messages', 'prompt', 'inputs', 'text', 'input_ids', 'content', 'stream', 'parameters', 'tokens'],
    ...['sampling_params', 'options', 'max_tokens', 'n_predict', 'stop', 'keep_alive', 'return_tokens'],
  );
  const value = fc.oneof(jsonValue(2), fc.constant(messages));
  const body = jsonObject(value, { maxKeys: 4, keys: field });

  it('answers whatever it is sent with an answer or a refusal, never a failure (10,000 cases)', async () => {
    const { call } = setUp(variant, { answer: 'a' });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...PATHS), body, async (path, sent) => {
        const { status, text } = await call('POST', path, sent);
        if (status >= 500 && status !== 501)
          throw new Error(`${path} ${JSON.stringify(sent)}: ${status} ${text}`);
      }),
      { numRuns: 10_000 },
    );
  });
});
