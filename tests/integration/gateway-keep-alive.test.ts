/**
 * Long prefills: a stream that has no token yet shows signs of life, a retry stays free, and an error is then an event. What
 * SDKs say about their retries and their patience is acted on.
 */
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { ANSWER_TEXT, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

let first: ScriptedEngine;
let second: ScriptedEngine;
let gateway: RunningGateway;
const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'Hi' }];

beforeAll(async () => {
  first = await startScriptedEngine();
  second = await startScriptedEngine();
  gateway = await startGateway(
    [
      poolOf('one', [{ url: first.url }]),
      poolOf('two', [{ url: first.url }, { url: second.url }]),
      poolOf('narrow', [{ url: second.url, window: 1 }]),
      poolOf('bare', [{ url: first.url, engine: 'llama-server', capabilities: { endpoints: ['rerank'] } }]),
      poolOf('unknown', [{ url: first.url, engine: 'openai' }]),
    ],
    { keepAliveMs: 150, firstTokenTimeoutMs: 1_500, workers: 1 },
  );
});

afterAll(async () => {
  await gateway.stop();
  await first.close();
  await second.close();
});

afterEach(() => {
  for (const engine of [first, second]) {
    engine.base = {};
    engine.next = [];
    engine.seen = [];
  }
});

async function ask(body: object, path = CHAT, headers: Record<string, string> = {}) {
  const answer = await fetch(gateway.url + path, {
    method: 'POST',
    body: JSON.stringify({ messages, ...body }),
    headers,
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const COMMENT = ': keep-alive\n\n';
const errorIn = (text: string) => JSON.parse(/data: (\{"error".*)\n\n$/.exec(text)?.[1] ?? '{}').error;
const answerIn = (text: string) =>
  [...text.matchAll(/^data: (\{.*)$/gm)]
    .map(([, json]) => JSON.parse(json as string).choices[0]?.delta?.content ?? '')
    .join('');

describe('a stream whose first token is late', () => {
  it('gets its headers and comments, at the interval, until the first token', async () => {
    first.next.push({ quietMs: 550 });
    const { status, headers, text } = await ask({ model: 'one', stream: true });
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    const comments = text.split(COMMENT).length - 1;
    expect(comments).toBeGreaterThanOrEqual(2);
    expect(comments).toBeLessThanOrEqual(4);
    expect(text.startsWith(COMMENT)).toBe(true);
    expect(answerIn(text)).toBe(ANSWER_TEXT);
  });

  it('gets them too when the engine has sent nothing but a role', async () => {
    first.next.push({ prefillMs: 400 });
    const { text } = await ask({ model: 'one', stream: true });
    expect(text.startsWith(COMMENT)).toBe(true);
    expect(text.match(/"role":"assistant"/g)).toHaveLength(1);
  });

  it('is read by the stock client as if nothing had been there', async () => {
    first.next.push({ quietMs: 400 });
    const client = new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0 });
    let text = '';
    const stream = await client.chat.completions.create({
      model: 'one',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe(ANSWER_TEXT);
  });

  it('may still come from another replica', async () => {
    for (const engine of [first, second]) engine.next.push({ quietMs: 300, status: 503 });
    const { status, text } = await ask({ model: 'two', stream: true });
    expect(first.seen.length + second.seen.length).toBe(3);
    expect([status, text.startsWith(COMMENT), answerIn(text)]).toEqual([200, true, ANSWER_TEXT]);
  });

  it('ends with the error as an event and without [DONE] when no engine answers', async () => {
    first.base = { hang: true };
    const { status, text } = await ask({ model: 'one', stream: true });
    expect(status).toBe(200);
    expect(errorIn(text)).toMatchObject({ code: 'upstream_timeout', type: 'timeout_error', param: null });
    expect(text).not.toContain('[DONE]');
  });

  it("passes the engine's own error on as an event", async () => {
    const body =
      '{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"x"}}';
    first.next.push({ quietMs: 400, status: 400, body });
    const { text } = await ask({ model: 'one', stream: true });
    expect(text.endsWith(`data: ${body}\n\n`)).toBe(true);
    first.next.push({ quietMs: 400, status: 422, body: '{"detail":"no"}' });
    expect(errorIn((await ask({ model: 'one', stream: true })).text)).toEqual({
      message: '{"detail":"no"}',
      type: 'invalid_request_error',
      param: null,
      code: 422,
    });
  });

  it('is thrown by the stock client as the error it is', async () => {
    first.base = { hang: true };
    const client = new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0 });
    const stream = await client.chat.completions.create({
      model: 'one',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    await expect(
      (async () => {
        for await (const _ of stream);
      })(),
    ).rejects.toBeInstanceOf(OpenAI.APIError);
  });
});

describe('nothing of that', () => {
  it('happens to whole answers, nor while a request waits in the queue', async () => {
    first.next.push({ quietMs: 400 });
    expect((await ask({ model: 'one' })).text.startsWith('{')).toBe(true);
    second.next.push({ hang: true });
    const holder = new AbortController();
    void fetch(gateway.url + CHAT, {
      method: 'POST',
      body: JSON.stringify({ model: 'narrow', messages }),
      signal: holder.signal,
    }).catch(() => {});
    await eventually(() => second.seen.length === 1);
    const { status, text } = await ask({ model: 'narrow', stream: true }, CHAT, {
      'x-stainless-timeout': '1',
    });
    expect([status, JSON.parse(text).error.code]).toEqual([408, 'queue_timeout']);
    expect(second.seen).toHaveLength(1);
    holder.abort();
  });

  it('happens where it is switched off', async () => {
    const quiet = await startGateway([poolOf('one', [{ url: first.url }])], { keepAliveMs: 0 });
    try {
      first.next.push({ quietMs: 500 });
      const answer = await fetch(quiet.url + CHAT, {
        method: 'POST',
        body: JSON.stringify({ model: 'one', messages, stream: true }),
      });
      expect(await answer.text()).not.toContain('keep-alive');
    } finally {
      await quiet.stop();
    }
  });
});

describe('what clients say of themselves', () => {
  it('is in the log: how often they have tried', async () => {
    await ask({ model: 'one' }, CHAT, { 'x-stainless-retry-count': '2', 'x-request-id': 'third-try' });
    const line = await eventually(() =>
      gateway.log().find((entry) => entry['http.request.id'] === 'third-try'),
    );
    expect(line.client_retries).toBe(2);
  });

  it('counts against the retry budget: the more they repeat themselves, the less we do', async () => {
    const own = await startGateway(
      [poolOf('one', [{ url: first.url }]), poolOf('narrow', [{ url: second.url }])],
      { retryBudgetRatio: 0.2 },
    );
    const send = async (model: string, headers: Record<string, string> = {}) => {
      const body = JSON.stringify({ model, messages });
      await (await fetch(own.url + CHAT, { method: 'POST', body, headers })).text();
    };
    const attempts = async () => {
      const before = second.seen.length;
      await send('narrow');
      return second.seen.length - before;
    };
    try {
      second.base = { status: 500 };
      expect(await attempts()).toBe(3);
      // A gateway begins with ten retries; each request adds a fifth of one.
      for (let count = 0; count < 20; count++) await send('one', { 'x-stainless-retry-count': '1' });
      // One every few seconds is allowed whatever was spent.
      expect(await attempts()).toBeLessThan(3);
    } finally {
      await own.stop();
    }
  });
});

describe('answers tell SDKs', () => {
  it('not to repeat what can not succeed, and when to repeat the rest, to the millisecond', async () => {
    const refused = await ask({ model: 'bare', prompt: 'x' }, '/tokenize');
    expect([refused.status, refused.headers.get('x-should-retry')]).toEqual([501, 'false']);
    first.base = { dieBeforeHead: true };
    const failed = await ask({ model: 'one' });
    expect(failed.status).toBe(502);
    expect(failed.headers.get('x-should-retry')).toBeNull();
    expect([failed.headers.get('retry-after'), failed.headers.get('retry-after-ms')]).toEqual(['1', '1000']);
  });

  it('how long they took to begin', async () => {
    first.next.push({ quietMs: 100 });
    const { headers } = await ask({ model: 'one' });
    expect(Number(headers.get('openai-processing-ms'))).toBeGreaterThanOrEqual(95);
  });
});

describe('an end point that the engine does not have', () => {
  it('is refused by name, before the engine is asked where that is known', async () => {
    const { status, text } = await ask({ model: 'bare', text_1: 'a', text_2: 'b' }, '/v1/score');
    expect([status, JSON.parse(text).error]).toEqual([
      501,
      {
        message: 'model "bare" runs on llama-server, which has no /v1/score',
        type: 'not_supported_error',
        param: null,
        code: 'not_supported',
      },
    ]);
    expect(first.seen).toHaveLength(0);
  });

  it('is refused by name after the engine said so, where it is not known', async () => {
    first.next.push({ status: 404, body: '{"detail":"Not Found"}' });
    const { status, text } = await ask({ model: 'unknown', query: 'a', documents: ['b'] }, '/v2/rerank');
    expect([status, JSON.parse(text).error.message]).toEqual([
      501,
      'model "unknown" runs on openai, which has no /v1/rerank (HTTP 404)',
    ]);
  });
});
