/** `Idempotency-Key`, as a client with retries uses it, against real gateway processes that share a state directory. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

let engine: ScriptedEngine;
let stateDir: string;
let gateway: RunningGateway;
let second: RunningGateway;
let keys = 0;
let calls = 0;
const newKey = () => `key-${keys++}`;
const chat = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };

beforeAll(async () => {
  engine = await startScriptedEngine();
  stateDir = mkdtempSync(join(tmpdir(), 'autoglm-state-'));
  const settings = {
    keepAliveMs: 100,
    keys: ['ada', 'bob'].map((name) => ({
      name,
      sha256: createHash('sha256').update(`sk-${name}`).digest('hex'),
    })),
  };
  gateway = await startGateway([poolOf('m', [{ url: engine.url }])], settings, { stateDir });
  second = await startGateway([poolOf('m', [{ url: engine.url }])], settings, { stateDir });
});

afterAll(async () => {
  await gateway.stop();
  await second.stop();
  await engine.close();
  rmSync(stateDir, { recursive: true, force: true });
});

afterEach(async () => {
  await eventually(() => engine.inFlight === 0);
  engine.base = {};
  engine.next = [];
  engine.seen = [];
});

interface Options {
  body?: object;
  caller?: string;
  at?: RunningGateway;
  signal?: AbortSignal;
}

function post(
  path: string,
  key: string,
  { body = chat, caller = 'ada', at = gateway, signal }: Options = {},
) {
  return fetch(`${at.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer sk-${caller}`,
      'idempotency-key': key,
      'x-request-id': `call-${calls++}`,
    },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
}

const isReplay = (response: Response) => response.headers.get('x-autoglm-idempotent-replay') === 'true';

describe('a repeated request', () => {
  it.each([
    ['/v1/chat/completions', chat],
    ['/v1/messages', { ...chat, max_tokens: 20 }],
    ['/v1/chat/completions', { ...chat, stream: true, stream_options: { include_usage: true } }],
    ['/v1/completions', { model: 'm', prompt: 'P' }],
    ['/v1/embeddings', { model: 'm', input: 'text' }],
    ['/v1/responses', { model: 'm', input: 'Hi' }],
    ['/v1/responses', { model: 'm', input: 'Hi', stream: true }],
    ['/v1/responses', { model: 'm', input: 'Hi', background: true }],
  ])('to %s with %j is given the first answer, byte for byte, by any gateway', async (path, body) => {
    const key = newKey();
    const first = await post(path, key, { body });
    const text = await first.text();
    expect([first.status, isReplay(first)]).toEqual([200, false]);
    const again = await post(path, key, { body, at: second });
    expect([again.status, isReplay(again)]).toEqual([200, true]);
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
    expect(again.headers.get('x-request-id')).toBe(`call-${calls - 1}`);
    expect(await again.text()).toBe(text);
    expect(engine.seen.filter((seen) => seen.path.startsWith('/v1'))).toHaveLength(1);
  });

  it('has the headers of the first answer, with an id of its own in the dialect of its client', async () => {
    const key = newKey();
    const body = { ...chat, max_tokens: 20, stream: true };
    const first = await post('/v1/messages', key, { body });
    await first.text();
    const again = await post('/v1/messages', key, { body });
    await again.text();
    expect(isReplay(again)).toBe(true);
    for (const name of ['content-type', 'cache-control', 'x-accel-buffering'])
      expect(again.headers.get(name), name).toBe(first.headers.get(name));
    expect(again.headers.get('request-id')).toBe(`call-${calls - 1}`);
  });

  it('is served anew when the first stream ended with an error of the engine after a keep-alive', async () => {
    const key = newKey();
    const body = { ...chat, stream: true };
    engine.next = [{ quietMs: 400, status: 400, body: '{"error":{"message":"too long","code":400}}' }];
    const first = await post('/v1/chat/completions', key, { body });
    expect(first.status).toBe(200);
    expect(await first.text()).toContain('too long');
    const again = await post('/v1/chat/completions', key, { body });
    expect([isReplay(again), (await again.text()).includes('[DONE]')]).toEqual([false, true]);
  });

  it('is served anew when the first answer could not be put into the words of its client', async () => {
    const key = newKey();
    const tool = { name: 'f', input_schema: { type: 'object' } };
    const body = { ...chat, max_tokens: 20, stream: true, tools: [tool] };
    const call = { index: 0, id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":' } };
    engine.next = [{ chat: { deltas: [{ tool_calls: [call] }] } }];
    const first = await post('/v1/messages', key, { body });
    expect(await first.text()).toContain('event: error');
    const again = await post('/v1/messages', key, { body });
    expect([isReplay(again), (await again.text()).includes('message_stop')]).toEqual([false, true]);
  });

  it('with another body or path is refused', async () => {
    const key = newKey();
    await (await post('/v1/chat/completions', key)).text();
    for (const [path, body] of [
      ['/v1/chat/completions', { ...chat, temperature: 1 }],
      ['/v1/completions', { model: 'm', prompt: 'P' }],
    ] as const) {
      const refused = await post(path, key, { body });
      expect(refused.status).toBe(422);
      expect(await refused.json()).toMatchObject({ error: { code: 'idempotency_key_reused' } });
    }
  });

  it('of another caller is another request', async () => {
    const key = newKey();
    await (await post('/v1/chat/completions', key)).text();
    const other = await post('/v1/chat/completions', key, { caller: 'bob' });
    expect(isReplay(other)).toBe(false);
    await other.text();
  });

  it('while the first runs is told to come back, and a stock client with retries gets the answer', async () => {
    const key = newKey();
    engine.next = [{ paceMs: 40 }];
    const first = post('/v1/chat/completions', key, { body: { ...chat, stream: true } });
    await eventually(() => engine.inFlight === 1);
    const early = await post('/v1/chat/completions', key, { body: { ...chat, stream: true }, at: second });
    expect([early.status, early.headers.get('retry-after')]).toEqual([409, '1']);
    expect(await early.json()).toMatchObject({ error: { code: 'idempotency_conflict' } });
    const text = await (await first).text();
    const sdk = new OpenAI({ baseURL: second.v1, apiKey: 'sk-ada', maxRetries: 5 });
    const raw = await sdk.chat.completions
      .create({ ...chat, stream: true } as never, { headers: { 'Idempotency-Key': key } })
      .asResponse();
    expect(await raw.text()).toBe(text);
  });

  it('after a failure is served anew', async () => {
    const key = newKey();
    engine.next = [{ status: 400 }];
    const failed = await post('/v1/chat/completions', key);
    expect(failed.status).toBe(400);
    await failed.text();
    const again = await post('/v1/chat/completions', key);
    expect([again.status, isReplay(again)]).toEqual([200, false]);
    await again.text();
  });

  it('after a stream that broke off is served anew', async () => {
    const key = newKey();
    const body = { ...chat, stream: true, tools: [{ type: 'function', function: { name: 'f' } }] };
    engine.next = [{ dieAfter: 3 }];
    const broken = await (await post('/v1/chat/completions', key, { body })).text();
    expect(broken).toContain('"error"');
    const again = await post('/v1/chat/completions', key, { body });
    expect(isReplay(again)).toBe(false);
    expect(await again.text()).toContain('[DONE]');
  });

  it('after a client that left in the middle is served anew', async () => {
    const key = newKey();
    engine.next = [{ stallAfter: 3 }];
    const controller = new AbortController();
    const body = { ...chat, stream: true };
    const left = await post('/v1/chat/completions', key, { body, signal: controller.signal });
    await left.body?.getReader().read();
    controller.abort();
    await eventually(() => engine.inFlight === 0);
    let again = await post('/v1/chat/completions', key, { body });
    while (again.status === 409) {
      await again.text();
      again = await post('/v1/chat/completions', key, { body });
    }
    expect([again.status, isReplay(again)]).toEqual([200, false]);
    await again.text();
  });

  it('of forty at once costs the engine one', async () => {
    const key = newKey();
    engine.next = [{ paceMs: 20 }];
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        post('/v1/chat/completions', key, { at: index % 2 === 0 ? gateway : second }),
      ),
    );
    const statuses = answers.map(({ status }) => status);
    await Promise.all(answers.map((answer) => answer.text()));
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(1);
    expect(statuses.every((status) => status === 200 || status === 409)).toBe(true);
    expect(engine.seen).toHaveLength(1);
  });
});

it('is refused when it is too long', async () => {
  const refused = await post('/v1/chat/completions', 'x'.repeat(256));
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ error: { code: 'invalid_request' } });
});

it('of a gateway that was killed comes free', async () => {
  const key = newKey();
  const dying = await startGateway(
    [poolOf('m', [{ url: engine.url }])],
    { keys: [{ name: 'ada', sha256: createHash('sha256').update('sk-ada').digest('hex') }] },
    { stateDir },
  );
  engine.next = [{ hang: true }];
  const lost = post('/v1/chat/completions', key, { at: dying }).catch(() => null);
  await eventually(() => engine.inFlight === 1);
  await dying.stop();
  await lost;
  const endMs = performance.now() + 30_000;
  let answer = await post('/v1/chat/completions', key);
  while (answer.status === 409) {
    expect(performance.now()).toBeLessThan(endMs);
    await answer.text();
    await new Promise((resolve) => setTimeout(resolve, 250));
    answer = await post('/v1/chat/completions', key);
  }
  expect([answer.status, isReplay(answer)]).toEqual([200, false]);
  await answer.text();
});
