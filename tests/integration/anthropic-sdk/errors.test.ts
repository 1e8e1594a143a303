/** Errors by class, retries and departures, as the stock Anthropic client sees them. */
import { createHash } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AnthropicFixture,
  ASK,
  failure,
  MESSAGES,
  PARIS,
  startAnthropicFixture,
  textIn,
  WEATHER,
} from '../../support/anthropic-fixture.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../../support/gateway-under-test.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine } from '../../support/scripted-engine.ts';

let fixture: AnthropicFixture;
let client: Anthropic;
let engine: ScriptedEngine;
let gateway: RunningGateway;
/** Wants KEY. */
let locked: RunningGateway;
const KEY = 'sk-right';

beforeAll(async () => {
  fixture = await startAnthropicFixture();
  ({ client, engine, gateway } = fixture);
  const sha256 = createHash('sha256').update(KEY).digest('hex');
  const pools = [poolOf('m', [{ url: engine.url }])];
  locked = await startGateway(pools, { keys: [{ name: 'me', sha256 }], workers: 1 });
});

afterAll(async () => {
  await locked?.stop();
  await fixture?.stop();
});

afterEach(() => fixture.reset());

describe('errors', () => {
  it('400 for a request that is not one', async () => {
    const error = await failure(client.messages.create({ ...ASK, max_tokens: 0 }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.type).toBe('invalid_request_error');
    expect(error.apiMessage).toMatch(/^max_tokens: found 0; expected/);
    expect(error.requestID).toMatch(/./);
    expect(error.error).toMatchObject({ type: 'error', request_id: error.requestID });
  });

  it('400 for nesting that nobody can write again, anywhere in the request', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const input = `{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":${deep}}}]}`;
    for (const extra of [`"guided_json":${deep}`, `"messages":[${input}]`]) {
      for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
        const body = `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],${extra}}`;
        const response = await fetch(locked.url + path, {
          method: 'POST',
          body,
          headers: { 'x-api-key': KEY },
        });
        expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
        expect(response.status).toBe(400);
      }
    }
  });

  it('400 of the engine, with its own words', async () => {
    engine.base = {
      status: 400,
      body: '{"error":{"message":"too long","type":"BadRequestError","code":400}}',
    };
    const error = await failure(client.messages.create(ASK));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.apiMessage).toBe('too long');
  });

  it('401 without the right key, by either header', async () => {
    for (const options of [{ apiKey: 'sk-wrong' }, { apiKey: null, authToken: 'sk-wrong' }]) {
      const error = await failure(
        fixture.newClient({ ...options, baseURL: locked.url }).messages.create(ASK),
      );
      expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
      expect(error.type).toBe('authentication_error');
    }
    expect(textIn(await fixture.newClient({ apiKey: KEY, baseURL: locked.url }).messages.create(ASK))).toBe(
      ANSWER_TEXT,
    );
    const bearer = fixture.newClient({ apiKey: null, authToken: KEY, baseURL: locked.url });
    expect((await bearer.messages.countTokens({ model: 'm', messages: MESSAGES })).input_tokens).toBe(3);
  });

  it('403 for a page of somewhere else', async () => {
    const page = fixture.newClient({ defaultHeaders: { origin: 'https://elsewhere.example' } });
    const error = await failure(page.messages.create(ASK));
    expect(error).toBeInstanceOf(Anthropic.PermissionDeniedError);
    expect(error.type).toBe('permission_error');
  });

  it('404 for a model that is not there, and for a path that is not there', async () => {
    const model = await failure(client.messages.create({ ...ASK, model: 'nobody' }));
    expect(model).toBeInstanceOf(Anthropic.NotFoundError);
    expect(model.type).toBe('not_found_error');
    const path = await failure(client.messages.batches.create({ requests: [] }));
    expect(path).toMatchObject({ status: 404, type: 'not_found_error' });
  });

  it('405 for a method that is not there', async () => {
    const error = await failure(client.get('/v1/messages'));
    expect(error).toMatchObject({ status: 405, type: 'invalid_request_error' });
  });

  it('413 for a body that is too large', async () => {
    const large = [{ role: 'user' as const, content: 'x'.repeat(30_000) }];
    const error = await failure(client.messages.create({ ...ASK, messages: large }));
    expect(error).toBeInstanceOf(Anthropic.ContentTooLargeError);
    expect(error.type).toBe('request_too_large');
  });

  it('429 of the engine', async () => {
    engine.base = { status: 429, headers: { 'retry-after': '9' } };
    const error = await failure(client.messages.create(ASK));
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect(error.type).toBe('rate_limit_error');
    expect(error.headers?.get('retry-after')).toBe('9');
  });

  it('500 of the engine', async () => {
    engine.base = { status: 500 };
    const error = await failure(client.messages.create(ASK));
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(error).toMatchObject({ status: 500, type: 'api_error' });
  });

  it('502 when the engine dies before it answers', async () => {
    engine.base = { dieBeforeHead: true };
    const error = await failure(client.messages.create(ASK));
    expect(error).toMatchObject({ status: 502, type: 'api_error' });
  });

  it('504 when the engine does not answer in time', async () => {
    engine.base = { hang: true };
    const error = await failure(client.messages.create(ASK));
    expect(error).toBeInstanceOf(Anthropic.GatewayTimeoutError);
    expect(error.type).toBe('timeout_error');
  });

  it('529 when no replica is there', async () => {
    const error = await failure(client.messages.create({ ...ASK, model: 'gone' }));
    expect(error).toBeInstanceOf(Anthropic.OverloadedError);
    expect(error.type).toBe('overloaded_error');
    expect(error.headers?.get('retry-after')).toMatch(/^\d+$/);
    const counted = await failure(client.messages.countTokens({ model: 'gone', messages: MESSAGES }));
    expect(counted).toBeInstanceOf(Anthropic.OverloadedError);
  });

  it('529 when the queue is full, and when the wait in it is too long', async () => {
    engine.base = { hang: true };
    const controller = new AbortController();
    const { signal } = controller;
    const narrow = { ...ASK, model: 'narrow' };
    const holder = failure(client.messages.create(narrow, { signal }));
    await eventually(() => engine.seen.length === 1);
    const waiting = failure(client.messages.create(narrow));
    const refused = await failure(
      (async () => {
        // Until the other one stands in the queue this one may wait in its place, and is called off then.
        for (;;) {
          const error = await failure(client.messages.create(narrow, { timeout: 200 }));
          if (!(error instanceof Anthropic.APIConnectionTimeoutError)) throw error;
        }
      })(),
    );
    expect(refused).toBeInstanceOf(Anthropic.OverloadedError);
    expect(await waiting).toBeInstanceOf(Anthropic.OverloadedError);
    controller.abort();
    await holder;
  });

  it('in a stream come as an error event, which the SDK throws, and no message_stop follows', async () => {
    fixture.play(PARIS, { dieAfter: 3 });
    const sampled = { ...ASK, tools: [WEATHER], temperature: 1 };
    const error = await failure(client.messages.stream(sampled).finalMessage());
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error.type).toBe('api_error');
    fixture.play(PARIS, { dieAfter: 3 });
    const response = await client.messages.create({ ...sampled, stream: true }).asResponse();
    const raw = await response.text();
    expect(raw).toMatch(
      /event: error\ndata: \{"type":"error","error":\{"type":"api_error",[^\n]*"request_id":"[^"]+"\}\n\n$/,
    );
    expect(raw).not.toMatch(/message_stop|message_delta|\[DONE\]/);
  });

  it('before a stream has begun come with their status', async () => {
    engine.base = { status: 400 };
    const error = await failure(client.messages.stream(ASK).finalMessage());
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
  });
});

describe('retries of the SDK', () => {
  it('succeed after an error that goes away', async () => {
    // The gateway tries three times itself; what it gives up on, the SDK sends again.
    engine.next = Array.from({ length: 3 }, () => ({ status: 429, headers: { 'retry-after-ms': '20' } }));
    const message = await fixture.newClient({ maxRetries: 2 }).messages.create(ASK);
    expect(textIn(message)).toBe(ANSWER_TEXT);
  });

  it('are not made where the gateway says that they would fail again', async () => {
    let sent = 0;
    const counting: typeof fetch = (...args) => {
      sent++;
      return fetch(...args);
    };
    const retrying = fixture.newClient({ maxRetries: 3, fetch: counting });
    const error = await failure(retrying.messages.countTokens({ model: 'generic', messages: MESSAGES }));
    expect(error.status).toBe(501);
    expect(sent).toBe(1);
  });
});

describe('a client that leaves', () => {
  const ROUNDS = 20;

  function median(values: number[]): number {
    return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  }

  async function leaveOnce(start: (signal: AbortSignal) => Promise<unknown>, begun: () => Promise<void>) {
    const before = engine.seen.length;
    const controller = new AbortController();
    const gone = start(controller.signal).catch(() => {});
    const seen = await eventually(() => engine.seen[before]);
    await begun();
    const leftAtMs = performance.now();
    controller.abort();
    await eventually(() => seen.abortedAtMs !== null);
    await gone;
    return (seen.abortedAtMs as number) - leftAtMs;
  }

  it.each([
    ['a whole answer', false],
    ['a stream', true],
  ] as const)('is noticed by the engine within 10 ms (median) before the head of %s', async (_name, stream) => {
    engine.base = { hang: true };
    const delays: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const start = (signal: AbortSignal) => client.messages.create({ ...ASK, stream }, { signal });
      delays.push(await leaveOnce(start, async () => {}));
    }
    expect(median(delays)).toBeLessThan(10);
  });

  it('is noticed by the engine within 10 ms (median) in the body', async () => {
    engine.base = { stallAfter: 2 };
    const delays: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const heard = Promise.withResolvers<void>();
      const start = (signal: AbortSignal) => {
        const stream = client.messages.stream(ASK, { signal });
        stream.on('text', (_delta, text) => {
          if (text === ANSWER.slice(0, 2).join('')) heard.resolve();
        });
        return stream.finalMessage();
      };
      delays.push(await leaveOnce(start, () => heard.promise));
    }
    expect(median(delays)).toBeLessThan(10);
  });

  it('by breaking out of its loop is noticed too', async () => {
    engine.base = { stallAfter: 2 };
    for await (const event of await client.messages.create({ ...ASK, stream: true }))
      if (event.type === 'content_block_delta') break;
    await eventually(() => engine.seen.at(-1)?.abortedAtMs !== null && engine.inFlight === 0);
  });

  it('while it waits in the queue is never sent to the engine', async () => {
    engine.base = { hang: true };
    const narrow = { ...ASK, model: 'narrow' };
    const holder = new AbortController();
    const held = failure(client.messages.create(narrow, { signal: holder.signal }));
    await eventually(() => engine.seen.length === 1);
    const waiting = new AbortController();
    const headers = { 'x-request-id': 'departs' };
    const left = failure(client.messages.create(narrow, { signal: waiting.signal, headers }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    waiting.abort();
    expect(await left).toBeInstanceOf(Anthropic.APIUserAbortError);
    const line = await eventually(() =>
      gateway.log().find((entry) => entry['http.request.id'] === 'departs'),
    );
    expect(line).toMatchObject({ outcome: 'cancelled-by-client', replica: null });
    expect(engine.seen).toHaveLength(1);
    holder.abort();
    await held;
  });
});
