/**
 * The gateway as a stock OpenAI client sees it: answers, streams, errors by class, headers, keys, health.
 */

import { createHash } from 'node:crypto';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

let engine: ScriptedEngine;
let gateway: RunningGateway;
let client: OpenAI;
const messages = [{ role: 'user' as const, content: 'Hi' }];

beforeAll(async () => {
  engine = await startScriptedEngine();
  gateway = await startGateway([poolOf('demo', [{ url: engine.url }], ['alias'])], { bodyBytesMax: 20_000 });
  client = new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0 });
});

afterAll(async () => {
  await gateway.stop();
  await engine.close();
});

async function statusOf(
  promise: Promise<unknown>,
): Promise<{ status: number | undefined; error: InstanceType<typeof OpenAI.APIError> }> {
  const error = await promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof OpenAI.APIError>,
  );
  return { status: error.status, error };
}

describe('answers', () => {
  it('gives a chat completion', async () => {
    const answer = await client.chat.completions.create({ model: 'demo', messages });
    expect(answer.choices[0]?.message.content).toBe(ANSWER_TEXT);
    expect(answer.usage).toEqual({
      prompt_tokens: 3,
      completion_tokens: ANSWER.length,
      total_tokens: 3 + ANSWER.length,
    });
  });

  it('streams a chat completion with usage', async () => {
    const stream = await client.chat.completions.create({
      model: 'demo',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: unknown;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(ANSWER_TEXT);
    expect(usage).toMatchObject({ completion_tokens: ANSWER.length });
  });

  it('gives and streams a text completion', async () => {
    const answer = await client.completions.create({ model: 'demo', prompt: 'P' });
    expect(answer.choices[0]?.text).toBe(ANSWER_TEXT);
    let text = '';
    for await (const chunk of await client.completions.create({ model: 'demo', prompt: 'P', stream: true }))
      text += chunk.choices[0]?.text;
    expect(text).toBe(ANSWER_TEXT);
  });

  it('gives embeddings', async () => {
    const answer = await client.embeddings.create({ model: 'demo', input: 'x', encoding_format: 'float' });
    expect(answer.data[0]?.embedding).toEqual([0.6, 0.8]);
  });

  it('lists models and aliases, and retrieves one', async () => {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toEqual(['demo', 'alias']);
    expect((await client.models.retrieve('alias')).id).toBe('alias');
    expect((await statusOf(client.models.retrieve('nope'))).status).toBe(404);
  });

  it('passes unknown fields both ways, and the body byte for byte', async () => {
    const raw =
      '{ "model":"demo",  "messages":[{"role":"user","content":"\\u00e9"}], "x_vendor": {"a":[1,2.50]} }';
    const answer = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      body: raw,
      headers: { 'content-type': 'application/json' },
    });
    expect(((await answer.json()) as { unknown_field: unknown }).unknown_field).toEqual({ kept: true });
    expect(engine.seen.at(-1)?.raw).toBe(raw);
  });

  it('changes nothing but the model name for an alias', async () => {
    const raw = '{"messages":[{"role":"user","content":"the \\"model\\": alias"}],"model":"alias","n":1}';
    await fetch(`${gateway.v1}/chat/completions`, { method: 'POST', body: raw });
    expect(engine.seen.at(-1)?.raw).toBe(raw.replace('"model":"alias"', '"model":"demo"'));
  });

  it('hands the request id through, and makes one where there is none', async () => {
    const { _request_id: made } = await client.chat.completions.create({ model: 'demo', messages });
    expect(made).toMatch(/^req-/);
    const answer = await fetch(`${gateway.v1}/models`, { headers: { 'x-request-id': 'mine-1' } });
    expect(answer.headers.get('x-request-id')).toBe('mine-1');
    await client.chat.completions.create(
      { model: 'demo', messages },
      { headers: { 'x-request-id': 'mine-2' } },
    );
    expect(engine.seen.at(-1)?.headers['x-request-id']).toBe('mine-2');
  });

  it('sends the engine only headers that it built itself', async () => {
    await client.chat.completions.create(
      { model: 'demo', messages },
      { headers: { cookie: 'a=b', 'x-user': 'root', authorization: 'Bearer secret' } },
    );
    const headers = engine.seen.at(-1)?.headers ?? {};
    expect(Object.keys(headers).sort()).toEqual([
      'accept',
      'connection',
      'content-length',
      'content-type',
      'host',
      'x-request-id',
    ]);
  });

  it('counts the events of a stream whose engine reports no usage, and says that it is an estimate', async () => {
    const headers = { 'x-request-id': 'uncounted' };
    const stream = await client.chat.completions.create(
      { model: 'demo', messages, stream: true },
      { headers },
    );
    for await (const _ of stream);
    const line = await eventually(() =>
      gateway.log().find((entry) => entry['http.request.id'] === 'uncounted'),
    );
    expect(line).toMatchObject({ completion_tokens: null, completion_tokens_estimated: ANSWER.length });
  });

  it('writes one JSON line per request, without prompts', async () => {
    await client.chat.completions.create(
      { model: 'demo', messages: [{ role: 'user', content: 'SECRET-PROMPT' }] },
      { headers: { 'x-request-id': 'logged' } },
    );
    const line = await eventually(() => gateway.log().find((entry) => entry['http.request.id'] === 'logged'));
    expect(line).toMatchObject({
      outcome: 'completed',
      model: 'demo',
      replica: 'demo/0',
      attempts: 1,
      completion_tokens: ANSWER.length,
      'http.response.status_code': 200,
    });
    expect(JSON.stringify(gateway.log())).not.toContain('SECRET-PROMPT');
  });
});

describe('errors', () => {
  it.each([
    ['invalid JSON', '{"model":', 400, 'invalid_json', null],
    ['an empty body', '', 400, 'invalid_json', null],
    ['an array', '[]', 400, 'invalid_json', null],
    ['no model', '{"messages":[]}', 400, 'invalid_request', 'model'],
    ['a number as model', '{"model":1,"messages":[]}', 400, 'invalid_request', 'model'],
    ['stream as text', '{"model":"demo","messages":[],"stream":"yes"}', 400, 'invalid_request', 'stream'],
    ['messages as text', '{"model":"demo","messages":"hi"}', 400, 'invalid_request', 'messages'],
    ['an unknown model', '{"model":"nope","messages":[]}', 404, 'model_not_found', 'model'],
  ])('answers %s with all four keys of the error object', async (_name, body, status, code, param) => {
    const answer = await fetch(`${gateway.v1}/chat/completions`, { method: 'POST', body });
    expect(answer.status).toBe(status);
    const { error } = (await answer.json()) as { error: Record<string, unknown> };
    expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
    expect(error).toMatchObject({ code, param });
  });

  it('refuses a body beyond the limit, announced or not', async () => {
    const big = JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: 'x'.repeat(30_000) }] });
    expect((await fetch(`${gateway.v1}/chat/completions`, { method: 'POST', body: big })).status).toBe(413);
    const chunked = new Blob([big]).stream();
    const answer = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      body: chunked,
      duplex: 'half',
    } as RequestInit);
    expect(answer.status).toBe(413);
  });

  it.each([
    ['GET', '/v1/chat/completions', 405],
    ['POST', '/v1/models', 405],
    ['GET', '/v1/nothing', 404],
    ['GET', '//v1/models', 400],
    ['GET', '/v1/x%2fadmin', 400],
  ])('answers %s %s with %i', async (method, path, status) => {
    expect((await fetch(`${gateway.url}${path}`, { method })).status).toBe(status);
  });

  it('names the methods that a path takes', async () => {
    expect((await fetch(`${gateway.v1}/models`, { method: 'DELETE' })).headers.get('allow')).toBe('GET');
  });

  it('refuses web pages from elsewhere while no key is needed', async () => {
    const ask = (origin: string) =>
      fetch(`${gateway.v1}/models`, { headers: { origin } }).then(({ status }) => status);
    expect(
      await Promise.all(
        ['http://evil.example', 'null', 'http://localhost:3000', 'http://127.0.0.1'].map(ask),
      ),
    ).toEqual([403, 403, 200, 200]);
  });

  it('refuses bodies that are not UTF-8', async () => {
    const body = Buffer.concat([
      Buffer.from('{"model":"demo","messages":[],"x":"'),
      Buffer.from([0xff, 0xfe, 0xc3]),
      Buffer.from('"}'),
    ]);
    expect((await fetch(`${gateway.v1}/chat/completions`, { method: 'POST', body })).status).toBe(400);
  });

  it('refuses compressed bodies', async () => {
    const answer = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      body: 'x',
      headers: { 'content-encoding': 'gzip' },
    });
    expect(answer.status).toBe(415);
  });

  it('passes on what the engine says of a bad request, and holds it against nobody', async () => {
    engine.next.push({
      status: 400,
      body: '{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}',
    });
    const { status, error } = await statusOf(client.chat.completions.create({ model: 'demo', messages }));
    expect(status).toBe(400);
    expect(error.code).toBe('context_length_exceeded');
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
  });

  it('maps each class of error to the class of the client', async () => {
    const cases = [
      [401, OpenAI.AuthenticationError],
      [403, OpenAI.PermissionDeniedError],
      [404, OpenAI.NotFoundError],
      [409, OpenAI.ConflictError],
      [422, OpenAI.UnprocessableEntityError],
      [429, OpenAI.RateLimitError],
      [500, OpenAI.InternalServerError],
      [503, OpenAI.InternalServerError],
    ] as const;
    for (const [status, errorClass] of cases) {
      // Every attempt gets the same answer, so that it is passed on.
      engine.base = { status };
      const { error } = await statusOf(client.chat.completions.create({ model: 'demo', messages }));
      expect(error).toBeInstanceOf(errorClass);
    }
    engine.base = {};
  });

  it('lets a client abort a stream', async () => {
    engine.base = { paceMs: 20 };
    const stream = await client.chat.completions.create({ model: 'demo', messages, stream: true });
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      if (text.length > 5) stream.controller.abort();
    }
    engine.base = {};
    expect(text.length).toBeLessThan(ANSWER_TEXT.length);
    await eventually(() => engine.inFlight === 0);
    await eventually(() => gateway.log().some((line) => line.outcome === 'cancelled-by-client'));
  });
});

describe('keys', () => {
  it('wants a known key, as bearer or x-api-key, where keys are configured', async () => {
    const key = 'sk-test-0123456789';
    const locked = await startGateway([poolOf('demo', [{ url: engine.url }])], {
      keys: [{ name: 'ci', sha256: createHash('sha256').update(key).digest('hex') }],
    });
    try {
      const url = `${locked.v1}/models`;
      expect((await fetch(url)).status).toBe(401);
      expect((await fetch(url, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
      expect((await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
      expect((await fetch(url, { headers: { 'x-api-key': key } })).status).toBe(200);
      expect(
        (await fetch(url, { headers: { 'x-api-key': key, authorization: `Bearer ${key}` } })).status,
      ).toBe(400);
      expect((await fetch(`${locked.url}/livez`)).status).toBe(200);
      const openai = new OpenAI({ baseURL: locked.v1, apiKey: 'sk-wrong', maxRetries: 0 });
      const { error } = await statusOf(openai.chat.completions.create({ model: 'demo', messages }));
      expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
      await eventually(() => locked.log().find((line) => line.outcome === 'rejected-unauthorized'));
      expect(JSON.stringify(locked.log())).not.toContain(key);
    } finally {
      await locked.stop();
    }
  });
});

describe('health', () => {
  it('is live always, and ready when a replica is', async () => {
    for (const path of [
      '/livez',
      '/readyz',
      '/startupz',
      '/health',
      '/health/liveliness',
      '/health/readiness',
    ]) {
      expect((await fetch(`${gateway.url}${path}`)).status).toBe(200);
    }
    const empty = await startGateway([poolOf('demo', [{ url: engine.url, state: 'starting' }])]);
    try {
      expect((await fetch(`${empty.url}/livez`)).status).toBe(200);
      expect((await fetch(`${empty.url}/readyz`)).status).toBe(503);
    } finally {
      await empty.stop();
    }
  });
});
