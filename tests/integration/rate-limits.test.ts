/**
 * Limits of a real gateway, over all its threads: exactly so many are let in, stock SDKs understand the refusals, and a thread
 * that dies takes no places with it. Rows 14, 15 and 29 of the complaints that this design answers. That tokens are charged as
 * they are used is told on a clock that stands still (src/planes/gateway/limits/limit-gate.test.ts).
 */
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import type { KeySettings } from '../../src/contract/gateway-snapshot.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const KEY = 'sk-limited';
const messages = [{ role: 'user' as const, content: 'Hi' }];

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function engineWith(base: Parameters<typeof startScriptedEngine>[0]): Promise<ScriptedEngine> {
  const engine = await startScriptedEngine(base);
  cleanups.push(() => engine.close());
  return engine;
}

async function gatewayOn(
  url: string,
  key: Pick<KeySettings, 'limits' | 'modelLimits'>,
): Promise<RunningGateway> {
  const sha256 = createHash('sha256').update(KEY).digest('hex');
  const gateway = await startGateway([poolOf('m', [{ url, window: 4096 }])], {
    workers: 3,
    queueSizeMax: 10_000,
    // Engines stand in the process that also sends a thousand requests.
    connectTimeoutMs: 30_000,
    firstTokenTimeoutMs: 60_000,
    keys: [{ name: 'ci', sha256, ...key }],
  });
  cleanups.push(() => gateway.stop());
  return gateway;
}

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** Each over a connection of its own, so that all threads get some; cut off, it has status 0. */
function ask(gateway: RunningGateway, body: object = {}, path = '/v1/chat/completions'): Promise<Answer> {
  return new Promise((resolve) => {
    const cut = () => resolve({ status: 0, headers: {}, text: '' });
    const sent = request(
      `${gateway.url}${path}`,
      { method: 'POST', agent: false, headers: { authorization: `Bearer ${KEY}` } },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
        response.on('error', cut);
      },
    );
    sent.on('error', cut);
    sent.end(JSON.stringify({ model: 'm', ...(path.startsWith('/v1/chat') && { messages }), ...body }));
  });
}

const countOf = (answers: Answer[], status: number) =>
  answers.filter((answer) => answer.status === status).length;

describe('a limit', () => {
  it('of 100 at once lets in exactly 100 of 1,000 concurrent requests, over all threads', async () => {
    // No answer ends before all have asked.
    const engine = await engineWith({ hang: true });
    const gateway = await gatewayOn(engine.url, { limits: { parallelRequests: 100 } });
    let refused = 0;
    const all = Array.from({ length: 1_000 }, async () => {
      const answer = await ask(gateway);
      if (answer.status === 429) refused++;
      return answer;
    });
    await eventually(() => refused === 900, 30_000);
    await eventually(() => engine.inFlight === 100, 30_000);
    await engine.kill();
    expect(countOf(await Promise.all(all), 429)).toBe(900);
    // Nothing stays taken.
    await eventually(async () => (await gateway.report()).inFlight === 0);
    const next = await ask(gateway);
    expect(next.status).not.toBe(429);
  });

  it('of 100 a minute lets in 100 of 1,000 concurrent requests, and what became free meanwhile', async () => {
    const engine = await engineWith({});
    const gateway = await gatewayOn(engine.url, { limits: { requestsPerMinute: 100 } });
    const startMs = performance.now();
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => ask(gateway)));
    const becameFree = Math.floor((performance.now() - startMs) / 600);
    const admitted = countOf(answers, 200);
    expect(admitted).toBeGreaterThanOrEqual(100);
    expect(admitted).toBeLessThanOrEqual(100 + becameFree);
    expect(countOf(answers, 429)).toBe(1_000 - admitted);
    expect(engine.seen).toHaveLength(admitted);
    const { metricsText } = await gateway.report();
    expect(metricsText).toMatch(
      new RegExp(
        `^autoglm_rate_limited_total\\{.*limit="key".*kind="requests".*\\} ${1_000 - admitted}$`,
        'm',
      ),
    );
  });
});

describe('a thread that dies', () => {
  it('gives back what its requests held', async () => {
    const engine = await engineWith({ hang: true });
    const gateway = await gatewayOn(engine.url, { limits: { parallelRequests: 12 } });
    const held = Array.from({ length: 12 }, () => ask(gateway));
    await eventually(() => engine.inFlight === 12, 30_000);
    expect((await ask(gateway)).status).toBe(429);
    for (const worker of [0, 1, 2]) await gateway.breakWorker(worker);
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual(Array(12).fill(0));
    await eventually(
      async () =>
        (await gateway.report()).workers.every(
          ({ state, restarts }) => state === 'listening' && restarts === 1,
        ),
      30_000,
    );
    const again = Array.from({ length: 12 }, () => ask(gateway));
    await eventually(() => engine.inFlight === 12, 30_000);
    expect((await ask(gateway)).status).toBe(429);
    await engine.kill();
    await Promise.all(again);
  });
});

describe('a background response', () => {
  it('is refused when it is asked for, and holds its place until it ends', async () => {
    const engine = await engineWith({ quietMs: 200 });
    const gateway = await gatewayOn(engine.url, { limits: { parallelRequests: 1, requestsPerMinute: 10 } });
    const body = { input: 'Hi', background: true };
    const first = await ask(gateway, body, '/v1/responses');
    expect([first.status, first.headers['x-ratelimit-remaining-requests']]).toEqual([200, '9']);
    const second = await ask(gateway, body, '/v1/responses');
    expect([second.status, second.headers['retry-after']]).toEqual([429, '1']);
    await eventually(async () => (await ask(gateway, body, '/v1/responses')).status === 200);
    expect(engine.seen.length).toBeLessThanOrEqual(2);
  });
});

describe('stock SDKs', () => {
  it('of OpenAI: the error is a RateLimitError that says when to come back, and retries come back then', async () => {
    const engine = await engineWith({});
    // One becomes free every three seconds.
    const gateway = await gatewayOn(engine.url, { limits: { requestsPerMinute: 20 } });
    const client = new OpenAI({ baseURL: gateway.v1, apiKey: KEY, maxRetries: 0 });
    const create = (maxRetries = 0) =>
      client.chat.completions.create({ model: 'm', messages }, { maxRetries }).withResponse();
    const { response } = await create();
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('20');
    let error: unknown = null;
    while (error === null) {
      const all = await Promise.allSettled(Array.from({ length: 20 }, () => create()));
      error = all.find((one): one is PromiseRejectedResult => one.status === 'rejected')?.reason ?? null;
    }
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    const { code, headers } = error as InstanceType<typeof OpenAI.RateLimitError>;
    expect(code).toBe('rate_limit_exceeded');
    expect(Number(headers?.get('retry-after-ms'))).toBeGreaterThan(0);
    expect(Number(headers?.get('retry-after-ms'))).toBeLessThanOrEqual(3_000);
    expect((await create(2)).response.status).toBe(200);
  });

  it('of Anthropic: the error is a RateLimitError, and the headers are those of its API', async () => {
    const engine = await engineWith({});
    const gateway = await gatewayOn(engine.url, { limits: { requestsPerMinute: 1 } });
    const client = new Anthropic({ baseURL: gateway.url, apiKey: KEY, maxRetries: 0 });
    const create = () => client.messages.create({ model: 'm', max_tokens: 10, messages }).withResponse();
    const { response } = await create();
    expect(response.headers.get('anthropic-ratelimit-requests-remaining')).toBe('0');
    const error = await create().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect((error as InstanceType<typeof Anthropic.RateLimitError>).headers?.get('retry-after')).toMatch(
      /^\d+$/,
    );
  });
});
