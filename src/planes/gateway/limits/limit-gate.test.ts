/** The limits of a whole plane, on a clock that stands still: what is left of a limit is exactly what was not used. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { FakeExchange } from '../../../../tests/support/fake-exchange.ts';
import { poolOf, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import { type Clock, systemClock } from '../../../base/clock.ts';
import { createRandom } from '../../../base/random.ts';
import { FILLER_KEY_HEADER, FILLER_OWNER_HEADER } from '../../../contract/filler.ts';
import type { GatewaySnapshot, KeySettings } from '../../../contract/gateway-snapshot.ts';
import type { LimitSettings } from '../../../contract/limits.ts';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { Stores } from '../../../contract/ports/stores.ts';
import type { UpstreamHandler } from '../../../contract/ports/transport.ts';
import { CacheClient } from '../cache/cache-client.ts';
import { SlotAssigner, type SlottedSnapshot } from '../fleet-table.ts';
import { GatewayCounters } from '../gateway-counters.ts';
import { GatewayPlane } from '../gateway-plane.ts';
import { createSharedMemory, type SharedMemory } from '../shared-memory.ts';
import { SharedState } from '../shared-state.ts';
import { slotTables } from '../slot-tables.ts';

type Answer = (handler: UpstreamHandler, wantsStream: boolean) => void;

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex');
const keyOf = (name: string, more: Partial<KeySettings>): KeySettings => ({
  name,
  sha256: sha256(name),
  ...more,
});

interface World {
  keys: KeySettings[];
  /** Of model `m`, which has an alias `n` and falls back to `spare`. */
  model?: LimitSettings;
  spare?: LimitSettings;
}

function snapshotOf({ keys, model, spare }: World, seq = 1): GatewaySnapshot {
  const m = { ...poolOf('m', [{ url: 'http://m' }], ['n']), fallbacks: ['spare'] };
  const other = poolOf('spare', [{ url: 'http://spare' }]);
  return {
    version: { epoch: 1, seq },
    settings: { ...TEST_SETTINGS, retryAttemptsMax: 0, keys, fillerKeySha256: sha256('filler') },
    fleet: {
      pools: [
        { ...m, ...(model !== undefined && { limits: model }) },
        { ...other, ...(spare !== undefined && { limits: spare }) },
      ],
    },
  };
}

/** A gateway of two workers. */
class TestGateway {
  nowMs = 0;
  readonly memory: SharedMemory = createSharedMemory();
  readonly logged: string[] = [];
  readonly #assigner = new SlotAssigner(slotTables(this.memory, new SharedState(this.memory, 0)));
  readonly #planes: GatewayPlane[];
  /** How engines answer, by origin. */
  answers: Record<string, Answer> = {};

  constructor(world: World) {
    const slotted = this.#assigner.assign(snapshotOf(world));
    this.#planes = [0, 1].map((worker) => this.#planeOf(worker, slotted));
  }

  update(world: World): void {
    const slotted = this.#assigner.assign(snapshotOf(world, 2));
    for (const plane of this.#planes) plane.update(slotted);
  }

  start(key: string, body: object = {}, { worker = 0, path = '/v1/chat/completions', headers = {} } = {}) {
    const message = { role: 'user', content: 'Hi' };
    const exchange = new FakeExchange(
      'POST',
      path,
      { model: 'm', max_tokens: 10, messages: [message], ...body },
      { authorization: `Bearer ${key}`, ...headers },
    );
    this.#planes[worker]?.handle(exchange);
    return exchange;
  }

  async ask(...args: Parameters<TestGateway['start']>): Promise<FakeExchange> {
    const exchange = this.start(...args);
    await exchange.answered;
    // The request is settled in the turn after the answer.
    await new Promise(setImmediate);
    return exchange;
  }

  /** What a probe that asks for too many tokens sees of a limit; where tokens are not limited, it counts. */
  async left(key: string, kind: 'requests' | 'tokens', model = 'm'): Promise<number> {
    const { status, answerHeaders } = await this.ask(key, { model, max_tokens: 1_000_000, n: 4_000 });
    return Number(answerHeaders[`x-ratelimit-remaining-${kind}`]) + (status === 200 ? 1 : 0);
  }

  #planeOf(worker: number, snapshot: SlottedSnapshot): GatewayPlane {
    const clock: Clock = { ...systemClock, machineMs: () => this.nowMs };
    return new GatewayPlane({
      clock,
      transport: {
        send: ({ origin, headers }, handler) => {
          const wantsStream = headers.accept === 'text/event-stream';
          setImmediate(() => (this.answers[origin] ?? answered(5, 3))(handler, wantsStream));
          return { pause: () => {}, resume: () => {}, abort: () => {} };
        },
        forget: () => {},
        close: async () => {},
      },
      shared: new SharedState(this.memory, worker),
      memory: this.memory,
      worker,
      snapshot,
      counters: new GatewayCounters(),
      stores: {} as Stores,
      cacheClient: new CacheClient(),
      sharedLimits: null,
      announceCancel: () => {},
      fileContents: {} as FileContents,
      newRequestId: () => 'req-1',
      onFact: () => {},
      onHealth: () => {},
      onSuspect: () => {},
      writeLog: (line) => void this.logged.push(line),
    });
  }
}

const head = (handler: UpstreamHandler, status: number, type: string) =>
  handler.onHead(status, { 'content-type': type });

const answered =
  (prompt: number, completion: number): Answer =>
  (handler) => {
    const usage = { prompt_tokens: prompt, completion_tokens: completion };
    head(handler, 200, 'application/json');
    handler.onData(Buffer.from(JSON.stringify({ choices: [], usage })));
    handler.onEnd();
  };

/** With the usage at the end, as engines give it to those who ask. */
const streamed =
  (prompt: number, completion: number): Answer =>
  (handler) => {
    const usage = { prompt_tokens: prompt, completion_tokens: completion };
    const events = [
      { choices: [{ index: 0, delta: { content: 'a' } }] },
      { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
      { choices: [], usage },
    ];
    head(handler, 200, 'text/event-stream');
    for (const event of events) handler.onData(Buffer.from(`data: ${JSON.stringify(event)}\n\n`));
    handler.onData(Buffer.from('data: [DONE]\n\n'));
    handler.onEnd();
  };

const refusing: Answer = (handler) => {
  head(handler, 400, 'application/json');
  handler.onData(Buffer.from('{"error":{"message":"no"}}'));
  handler.onEnd();
};

const unreachable: Answer = (handler) => handler.onError('connect-refused', new Error('refused'));

const TOKENS = { tokensPerMinute: 100_000 };

describe('limits of a gateway', () => {
  it('count requests over all workers, refuse the rest in the words of OpenAI, and let them in again in time', async () => {
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits: { requestsPerMinute: 2 } })] });
    expect((await gateway.ask('ci')).answerHeaders).toMatchObject({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '30s',
    });
    expect((await gateway.ask('ci', {}, { worker: 1 })).status).toBe(200);
    const refused = await gateway.ask('ci');
    expect([refused.status, refused.json.error]).toEqual([
      429,
      {
        message:
          'Rate limit reached for key "ci" on requests per min (RPM): Limit 2, Used 2. Please try again in 30s.',
        type: 'rate_limit_error',
        param: null,
        code: 'rate_limit_exceeded',
      },
    ]);
    expect(refused.answerHeaders).toMatchObject({
      'retry-after': '30',
      'retry-after-ms': '30000',
      'x-ratelimit-remaining-requests': '0',
    });
    expect(JSON.parse(gateway.logged[2]!)).toMatchObject({
      outcome: 'rejected-rate-limited',
      error_code: 'rate_limit_exceeded',
      limited_by: 'key/requests',
    });
    gateway.nowMs = 30_000;
    expect((await gateway.ask('ci', {}, { worker: 1 })).status).toBe(200);
    expect((await gateway.ask('ci')).status).toBe(429);
  });

  it('speak to clients of Anthropic in their words', async () => {
    const limits = { requestsPerMinute: 1, tokensPerMinute: 1_000 };
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits })] });
    const options = { path: '/v1/messages' };
    expect((await gateway.ask('ci', {}, options)).answerHeaders).toMatchObject({
      'anthropic-ratelimit-requests-limit': '1',
      'anthropic-ratelimit-requests-remaining': '0',
      'anthropic-ratelimit-requests-reset': expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      'anthropic-ratelimit-tokens-limit': '1000',
    });
    const refused = await gateway.ask('ci', {}, options);
    expect([refused.status, refused.json.error.type]).toEqual([429, 'rate_limit_error']);
    expect(refused.answerHeaders['retry-after']).toBe('60');
    expect(Object.keys(refused.answerHeaders).filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  });

  it('charge what the engine counted', async () => {
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits: TOKENS })] });
    await gateway.ask('ci');
    expect(await gateway.left('ci', 'tokens')).toBe(99_992);
  });

  it('are charged without drift over 10,000 random requests that are answered, streamed, refused or lost', async () => {
    const limits = { requestsPerMinute: 1_000_000, tokensPerMinute: 100_000_000, parallelRequests: 64 };
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits })] });
    const chance = createRandom(4);
    let used = 0;
    let requests = 0;
    const next: Answer = (handler, wantsStream) => {
      const [prompt, completion] = [1 + chance.int(200), chance.int(200)];
      const kind = chance.pick(['well', 'well', 'refused', 'lost']);
      if (kind === 'well') {
        used += prompt + completion;
        (wantsStream ? streamed : answered)(prompt, completion)(handler, wantsStream);
      } else (kind === 'refused' ? refusing : unreachable)(handler, wantsStream);
      if (kind !== 'lost') requests++;
    };
    gateway.answers = { 'http://m': next, 'http://spare': unreachable };
    const client = async () => {
      for (let turn = 0; turn < 10_000 / 64; turn++)
        await gateway.ask('ci', { stream: chance.next() < 0.5 }, { worker: chance.int(2) });
    };
    await Promise.all(Array.from({ length: 64 }, client));
    expect(used).toBeGreaterThan(500_000);
    const { answerHeaders } = await gateway.ask('ci', { max_tokens: 1_000_000, n: 4_000 });
    expect(1_000_000 - Number(answerHeaders['x-ratelimit-remaining-requests'])).toBe(requests);
    // 20,000 roundings of less than a nanosecond each.
    const left = Number(answerHeaders['x-ratelimit-remaining-tokens']);
    expect(Math.abs(100_000_000 - used - left)).toBeLessThanOrEqual(34);
  });

  it('charge what was streamed when the engine does not count, and nothing that it refused', async () => {
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits: TOKENS })] });
    gateway.answers['http://m'] = refusing;
    expect((await gateway.ask('ci')).status).toBe(400);
    expect(await gateway.left('ci', 'tokens')).toBe(100_000);
    gateway.answers['http://m'] = (handler) => {
      head(handler, 200, 'text/event-stream');
      const event = (choice: object) => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`;
      const words = ['a', 'b', 'c', 'd'].map((content) => event({ delta: { content } }));
      const all = [
        event({ delta: { role: 'assistant' } }),
        ...words,
        event({ delta: {}, finish_reason: 'stop' }),
      ];
      handler.onData(Buffer.from(`${all.join('')}data: [DONE]\n\n`));
      handler.onEnd();
    };
    const { text } = await gateway.ask('ci', { stream: true });
    expect(text).toContain('[DONE]');
    // 85 bytes of prompt, at four bytes a token, and four events.
    expect(await gateway.left('ci', 'tokens')).toBe(100_000 - 22 - 4);
  });

  it('give everything back when no engine was reached, and hold what a fallback serves against the fallback too', async () => {
    const limits = { requestsPerMinute: 10, tokensPerMinute: 1_000 };
    const spare = { requestsPerMinute: 1, tokensPerMinute: 500 };
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits })], spare });
    gateway.answers['http://m'] = unreachable;
    gateway.answers['http://spare'] = unreachable;
    expect((await gateway.ask('ci')).status).toBe(503);
    expect(await gateway.left('ci', 'requests', 'spare')).toBe(1);
    expect(await gateway.left('ci', 'requests')).toBe(10);
    delete gateway.answers['http://spare'];
    const served = await gateway.ask('ci');
    expect([served.status, served.answerHeaders['x-autoglm-fallback']]).toEqual([200, 'spare']);
    expect(await gateway.left('ci', 'tokens', 'spare')).toBe(492);
    expect(await gateway.left('ci', 'tokens')).toBe(992);
    // The fallback's own limit is used up: the request fails as if there were none.
    expect((await gateway.ask('ci')).status).toBe(503);
    expect(await gateway.left('ci', 'requests')).toBe(9);
  });

  it('refuse for good what no minute could hold, before an engine hears of it', async () => {
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits: { tokensPerMinute: 1_000 } })] });
    const refused = await gateway.ask('ci', { max_tokens: 1_000 });
    expect([refused.status, refused.json.error.code]).toEqual([400, 'tokens_exceed_limit']);
    expect(refused.json.error.message).toContain(
      'Request too large for key "ci" on tokens per min (TPM): Limit 1000, Requested 1019.',
    );
    expect(refused.answerHeaders['retry-after']).toBeUndefined();
    expect(await gateway.left('ci', 'tokens')).toBe(1_000);
  });

  it('count what is under way, until the answer is over', async () => {
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits: { parallelRequests: 1 } })] });
    const first = gateway.start('ci');
    const second = await gateway.ask('ci', {}, { worker: 1 });
    expect([second.status, second.json.error.message]).toEqual([
      429,
      'Rate limit reached for key "ci" on requests at once: Limit 1, Used 1. Please try again in 1s.',
    ]);
    await first.answered;
    expect((await gateway.ask('ci', {}, { worker: 1 })).status).toBe(200);
    const gone = gateway.start('ci');
    gone.leave();
    await new Promise(setImmediate);
    expect((await gateway.ask('ci', {}, { worker: 1 })).status).toBe(200);
  });

  it('are those of the key, of the key on the model under any of its names, and of the model for all', async () => {
    const keys = [
      keyOf('ci', { limits: { requestsPerMinute: 100 }, modelLimits: { n: { requestsPerMinute: 2 } } }),
      keyOf('other', {}),
    ];
    const gateway = new TestGateway({ keys, model: { requestsPerMinute: 4 } });
    await gateway.ask('ci');
    await gateway.ask('ci', { model: 'n' });
    const own = await gateway.ask('ci');
    expect(own.json.error.message).toContain('key "ci" on model "n" on requests');
    expect((await gateway.ask('ci', { model: 'spare' })).status).toBe(200);
    await gateway.ask('other');
    await gateway.ask('other');
    expect((await gateway.ask('other')).json.error.message).toContain('for model "m" on requests');
    // What one limit refused was not charged to the others.
    expect(await gateway.left('ci', 'requests', 'spare')).toBe(97);
  });

  it('do not hold for counting tokens', async () => {
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits: { requestsPerMinute: 1 } })] });
    await gateway.ask('ci');
    expect((await gateway.ask('ci', { prompt: 'x' }, { path: '/tokenize' })).status).toBe(200);
  });

  it('charge lines of batches their tokens, and leave half of them to clients', async () => {
    const limits = { requestsPerMinute: 1, tokensPerMinute: 100, parallelRequests: 1 };
    const gateway = new TestGateway({ keys: [keyOf('ci', { limits })] });
    const headers = { [FILLER_KEY_HEADER]: 'filler', [FILLER_OWNER_HEADER]: 'ci' };
    const statuses = [];
    for (let line = 0; line < 8; line++) statuses.push((await gateway.ask('ci', {}, { headers })).status);
    // Each reserves 32 tokens and uses 8.
    expect(statuses).toEqual([200, 200, 200, 429, 429, 429, 429, 429]);
    expect(await gateway.left('ci', 'tokens')).toBe(76);
    expect((await gateway.ask('ci')).status).toBe(200);
  });

  it('change with the configuration, and what is new begins unused', async () => {
    const ci = (requestsPerMinute: number) => keyOf('ci', { limits: { requestsPerMinute } });
    const gateway = new TestGateway({ keys: [ci(2), keyOf('old', { limits: { requestsPerMinute: 1 } })] });
    await gateway.ask('ci');
    await gateway.ask('old');
    gateway.update({ keys: [keyOf('new', { limits: { requestsPerMinute: 1 } }), ci(10)] });
    expect(await gateway.left('ci', 'requests')).toBe(5);
    expect((await gateway.ask('new')).status).toBe(200);
    expect((await gateway.ask('new')).status).toBe(429);
  });

  it('keep what runs by the old configuration apart from what has come in its place', async () => {
    const old = keyOf('old', { limits: { tokensPerMinute: 1_000 } });
    const gateway = new TestGateway({ keys: [old] });
    const running = gateway.start('old', { max_tokens: 900 });
    await Promise.resolve();
    gateway.update({ keys: [keyOf('new', { limits: { tokensPerMinute: 1_000 } })] });
    await running.answered;
    await new Promise(setImmediate);
    expect(await gateway.left('new', 'tokens')).toBe(1_000);
  });
});
