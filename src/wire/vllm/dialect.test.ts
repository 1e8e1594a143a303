import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { AnswerJson, Some } from '../../../tests/support/answer-json.ts';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { jsonObject, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { ScriptedCore, type ScriptedCoreOptions } from '../../../tests/support/scripted-core.ts';
import { systemClock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import { createVllmDialect, type VllmDialectOptions } from './dialect.ts';

const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'hi' }];

function setUp(core: ScriptedCoreOptions, options: Partial<VllmDialectOptions> = {}) {
  const scripted = new ScriptedCore(core);
  const faults: PlatformError[] = [];
  const dialect = createVllmDialect({
    core: scripted,
    release: '1.2.3',
    clock: systemClock,
    onFault: (error) => faults.push(error),
    ...options,
  });
  const call = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
    const exchange = new FakeExchange(method, path, body, headers);
    dialect.handle(exchange);
    await exchange.answered;
    return exchange;
  };
  return { core: scripted, dialect, faults, call };
}

const eventsOf = (exchange: FakeExchange): { done: boolean; chunks: Some<AnswerJson> } => {
  const data = parseSseEvents(exchange.text).map((event) => event.data);
  return {
    done: data.at(-1) === '[DONE]',
    chunks: data.filter((text) => text !== '[DONE]').map((text) => JSON.parse(text)) as Some<AnswerJson>,
  };
};

describe('vLLM dialect', () => {
  it('streams the role, whole characters with their tokens, the end, usage, and [DONE]', async () => {
    const { call } = setUp({ answer: 'aé' });
    const exchange = await call('POST', CHAT, {
      messages,
      stream: true,
      return_token_ids: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    });
    expect(exchange.answerHeaders['content-type']).toContain('text/event-stream');
    const { chunks, done } = eventsOf(exchange);
    expect(done).toBe(true);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta)).toEqual([
      { role: 'assistant', content: '' },
      { content: 'a' },
      { content: 'é' },
      {},
      undefined,
    ]);
    expect(chunks[0].prompt_token_ids).toEqual([104, 105]);
    expect(chunks.map((chunk) => chunk.choices[0]?.token_ids)).toEqual([[], [97], [195, 169], [], undefined]);
    expect(chunks.map((chunk) => chunk.usage.completion_tokens)).toEqual([0, 1, 3, 3, 3]);
    expect(chunks[3].choices[0].finish_reason).toBe('stop');
    expect(chunks[4].usage).toEqual({ prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 });
  });

  it('puts the prompt ids of completions into the first chunk of each choice', async () => {
    const { call } = setUp({ answer: 'a' });
    const exchange = await call('POST', '/v1/completions', {
      prompt: ['x', 'yz'],
      stream: true,
      return_token_ids: true,
    });
    const { chunks } = eventsOf(exchange);
    const first = [0, 1].map((index) => chunks.find((chunk) => chunk.choices[0].index === index)?.choices[0]);
    expect(first.map((choice) => choice?.prompt_token_ids)).toEqual([[120], [121, 122]]);
  });

  it('writes all events of one step in one piece', async () => {
    const { call } = setUp({ answer: 'abcdef', perStep: 3 });
    const exchange = await call('POST', CHAT, { messages, stream: true });
    expect(exchange.writes.map((write) => parseSseEvents(write).length)).toEqual([4, 3, 1, 1]);
  });

  it('ends generation at a stop string and counts the request as stopped, not aborted', async () => {
    const { call, core } = setUp({ answer: 'one. two. three.' });
    const exchange = await call('POST', CHAT, { messages, stop: '. t' });
    expect(exchange.json.choices[0]).toMatchObject({
      message: { content: 'one' },
      finish_reason: 'stop',
      stop_reason: '. t',
    });
    expect(exchange.json.usage.completion_tokens).toBe(6);
    expect(core.ended).toBe(1);
    const metrics = (await call('GET', '/metrics')).text;
    expect(metrics).toContain('vllm:request_success_total{model_name="scripted",finished_reason="stop"} 8');
    expect(metrics).toContain('vllm:request_success_total{model_name="scripted",finished_reason="abort"} 8');
    expect(metrics).toContain('vllm:kv_cache_usage_perc{model_name="scripted"} 0.25');
    expect(metrics).toContain('engine_steps_total{model_name="scripted"} 6');
  });

  it('sends an error event and no [DONE] when the engine fails in the middle', async () => {
    const error = new Error('boom');
    const { call, faults } = setUp({ answer: 'abc', failAfter: { steps: 1, error } });
    const exchange = await call('POST', CHAT, { messages, stream: true });
    const { chunks, done } = eventsOf(exchange);
    expect(done).toBe(false);
    expect(chunks.at(-1)?.error).toEqual({
      message: 'boom',
      type: 'upstream_error',
      param: null,
      code: 'engine_failed',
    });
    await vi.waitFor(() => expect(faults).toHaveLength(1));
  });

  it('answers with a status when the engine fails before the first token', async () => {
    const error = new PlatformError('engine_full', 'full', { retryAfterS: 2 });
    const { call } = setUp({ answer: 'abc', failAfter: { steps: 0, error } });
    const exchange = await call('POST', CHAT, { messages, stream: true });
    expect([exchange.status, exchange.answerHeaders['retry-after'], exchange.json.error.code]).toEqual([
      503,
      '2',
      'engine_full',
    ]);
  });

  it('refuses with 503 and Retry-After while the core is full', async () => {
    const { call, core } = setUp({ answer: 'a' });
    core.full = true;
    const exchange = await call('POST', CHAT, { messages });
    expect([exchange.status, exchange.answerHeaders['retry-after']]).toEqual([503, '1']);
    expect((await call('GET', '/ready')).status).toBe(503);
    expect((await call('GET', '/health')).status).toBe(200);
  });

  it('waits for slow clients, and generates no further meanwhile', async () => {
    const { dialect, core } = setUp({ answer: 'abcdefgh' });
    const exchange = new FakeExchange('POST', CHAT, { messages, stream: true });
    exchange.slow = true;
    dialect.handle(exchange);
    await vi.waitFor(() => expect(exchange.writes).toHaveLength(1));
    await new Promise(setImmediate);
    expect(exchange.writes).toHaveLength(1);
    exchange.drain();
    await exchange.answered;
    expect(eventsOf(exchange).done).toBe(true);
    expect(core.ended).toBe(1);
  });

  it('cuts off a client that reads nothing', async () => {
    const { dialect, core } = setUp({ answer: 'abcdefgh' }, { stallMs: 5 });
    const exchange = new FakeExchange('POST', CHAT, { messages, stream: true });
    exchange.slow = true;
    dialect.handle(exchange);
    await vi.waitFor(() => expect(exchange.destroyed).toBe(true));
    expect(core.ended).toBe(1);
  });

  it('aborts all choices at once when the client goes away', async () => {
    const { dialect, core } = setUp({ answer: 'abcdefgh' });
    const exchange = new FakeExchange('POST', CHAT, { messages, stream: true, n: 3 });
    exchange.slow = true;
    dialect.handle(exchange);
    await vi.waitFor(() => expect(exchange.writes.length).toBeGreaterThan(0));
    exchange.leave();
    await vi.waitFor(() => expect(core.ended).toBe(3));
    await vi.waitFor(() => expect(dialect.active).toBe(0));
  });

  it('drains: refuses new work, lets the running finish, then resolves', async () => {
    const { dialect, call } = setUp({ answer: 'abcdefgh' });
    const running = new FakeExchange('POST', CHAT, { messages, stream: true });
    running.slow = true;
    dialect.handle(running);
    await vi.waitFor(() => expect(running.writes.length).toBeGreaterThan(0));
    const drained = dialect.drain();
    const refused = await call('POST', CHAT, { messages });
    expect([refused.status, refused.json.error.code]).toEqual([503, 'shutting_down']);
    expect((await call('GET', '/health')).status).toBe(503);
    running.drain();
    await drained;
    expect(eventsOf(running).done).toBe(true);
  });

  it('wants the key where one is set, but not for health and metrics', async () => {
    const { call } = setUp({ answer: 'a' }, { apiKey: 'secret' });
    expect((await call('POST', CHAT, { messages })).status).toBe(401);
    expect((await call('POST', CHAT, { messages }, { authorization: 'Bearer wrong' })).status).toBe(401);
    expect((await call('POST', CHAT, { messages }, { authorization: 'Bearer secret' })).status).toBe(200);
    expect((await call('GET', '/v1/models')).status).toBe(401);
    expect((await call('GET', '/health')).status).toBe(200);
  });

  it('gives choices of one request seeds of their own, and the first the seed as it is', async () => {
    const { call, core } = setUp({ answer: 'a' });
    await call('POST', CHAT, { messages, seed: 5, n: 3 });
    const seeds = core.requests.map((request) => request.sampling.seed);
    expect(seeds[0]).toBe(5);
    expect(new Set(seeds).size).toBe(3);
  });

  it('says which tokens of a continuation were generated before', async () => {
    const { call, core } = setUp({ answer: 'a' });
    const open = [...messages, { role: 'assistant', content: 'yes' }];
    await call('POST', CHAT, { messages: open, continue_final_message: true, add_generation_prompt: false });
    await call('POST', '/v1/completions', { prompt: [1, 2, 3], generated_prefix_tokens: 2 });
    expect(core.requests.map((request) => request.generatedPrefix)).toEqual([3, 2]);
  });

  it('answers every body whatever it holds: with a success or with the error object, and never with 500', async () => {
    const { call } = setUp({ answer: 'abc', canCallTools: true });
    const names = [
      ...[
        'model',
        'messages',
        'prompt',
        'max_tokens',
        'max_completion_tokens',
        'min_tokens',
        'stop',
        'temperature',
      ],
      ...['stop_token_ids', 'top_p', 'top_k', 'min_p', 'seed', 'presence_penalty', 'logit_bias', 'logprobs'],
      ...['top_logprobs', 'n', 'stream', 'stream_options', 'response_format', 'guided_json', 'echo', 'input'],
      ...[
        'continue_final_message',
        'add_generation_prompt',
        'priority',
        'tokens',
        'dimensions',
        'tool_choice',
      ],
      ...['tools', 'chat_template_kwargs', 'query', 'documents', 'top_n', 'text_1', 'text_2'],
    ];
    const texts = { prompt: 'x', input: 'x', query: 'x', documents: ['x'], text_1: 'x', text_2: ['x', 'y'] };
    const value = fc.oneof(
      jsonValue(2),
      fc.constantFrom(0, 1, -1, 2, 1.5, 1e300, '', 'a', true, false, null, [], {}, ['a'], [1], [[1]], [300]),
      fc.constantFrom(messages, { type: 'json_object' }, { include_usage: true }, { 5: 1 }),
    );
    const paths = [
      CHAT,
      ...['/v1/completions', '/v1/embeddings', '/tokenize', '/detokenize', '/v1/rerank', '/v1/score'],
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...paths),
        jsonObject(value, { maxKeys: 5, keys: fc.constantFrom(...names) }),
        fc.boolean(),
        async (path, fields, valid) => {
          const base = valid ? { ...texts, messages, tokens: [1] } : {};
          const exchange = await call('POST', path, { ...base, ...fields });
          if (exchange.status === 200) return;
          mustEqual(exchange.status >= 400 && exchange.status !== 500, true);
          mustEqual(Object.keys(exchange.json.error).sort(), ['code', 'message', 'param', 'type']);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});
