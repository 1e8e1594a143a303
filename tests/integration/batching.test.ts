/**
 * Dynamic batching through a real gateway process: requests that arrive while one of their kind is under way share a call, and each
 * client is answered as if it had been alone. The engine stands in the test process, holds calls back and shows what it was sent.
 */
import { createHash } from 'node:crypto';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PoolBatching, PoolView } from '../../src/contract/fleet.ts';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import { parsePrometheusText } from '../../src/wire/prometheus/parse.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { base64Of, type ListEngine, startListEngine, vectorOf } from '../support/list-engine.ts';
import { startSimulator } from '../support/simulator-under-test.ts';
import { simulatorPool, startSystem } from '../support/system-under-test.ts';

interface Answered {
  status: number;
  headers: Record<string, string>;
  body: Record<string, unknown>;
}

const ALL: PoolBatching = {
  unitsMax: 8,
  // Longer than any test: what goes earlier does so because the batch is full, or the call before it has ended.
  waitMaxMs: 60_000,
  endpoints: ['embeddings', 'rerank', 'score', 'classify'],
};
const batched = (
  url: string,
  change: Partial<PoolBatching> = {},
  pool: Partial<PoolView> = {},
): PoolView => ({
  ...poolOf('vectors', [{ url }]),
  batching: { ...ALL, ...change },
  ...pool,
});

let engine: ListEngine;
beforeAll(async () => {
  engine = await startListEngine();
});
afterAll(() => engine.close());
afterEach(() => {
  engine.release();
  engine.calls.length = 0;
  engine.inputsMax = Number.POSITIVE_INFINITY;
});

/** One worker thread: requests of several do not meet. */
async function withGateway(
  pools: PoolView[],
  run: (gateway: RunningGateway) => Promise<void>,
  settings: Partial<GatewaySettings> = {},
): Promise<void> {
  const gateway = await startGateway(pools, { workers: 1, retryAttemptsMax: 0, ...settings });
  try {
    await run(gateway);
  } finally {
    engine.release();
    await gateway.stop();
  }
}

async function post(
  { url }: RunningGateway,
  path: string,
  body: object,
  { headers = {}, signal }: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Answered> {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers,
    body: JSON.stringify({ model: 'vectors', ...body }),
    ...(signal !== undefined && { signal }),
  });
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: (await answer.json()) as Record<string, unknown>,
  };
}

/** How many requests the gateway has in hand. */
async function inFlight(gateway: RunningGateway, count: number): Promise<void> {
  await eventually(async () => (await gateway.report()).inFlight === count);
}

/** Requests that come while one of the same kind is under way, in this order; their answers. */
async function together(
  gateway: RunningGateway,
  path: string,
  bodies: readonly object[],
  {
    first = {},
    headersOf = () => ({}),
  }: { first?: object; headersOf?: (at: number) => Record<string, string> } = {},
): Promise<Answered[]> {
  engine.hold();
  const lone = post(gateway, path, { ...bodies[0], ...first }, { headers: headersOf(0) });
  await eventually(() => engine.calls.length === 1);
  const answers: Promise<Answered>[] = [];
  for (const [at, body] of bodies.entries()) {
    answers.push(post(gateway, path, body, { headers: headersOf(at) }));
    await inFlight(gateway, at + 2);
  }
  engine.release();
  await lone;
  return Promise.all(answers);
}

const vectorsIn = ({ body }: Answered) =>
  (body.data as { index: number; embedding: unknown }[]).map(({ index, embedding }) => [index, embedding]);
const statuses = (answers: readonly Answered[]) => answers.map(({ status }) => status);
const promptTokens = ({ body }: Answered) => (body.usage as { prompt_tokens: number }).prompt_tokens;

describe('requests of one kind', () => {
  it('are sent as one call, in order, and each client gets its own part', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      const inputs = ['one', ['two', 'three words here'], 'four'];
      const answers = await together(
        gateway,
        '/v1/embeddings',
        inputs.map((input) => ({ input })),
        { headersOf: (at) => ({ 'x-request-id': `mine-${at}` }) },
      );
      expect(engine.calls.map((call) => call.inputs)).toEqual([
        ['one'],
        ['one', 'two', 'three words here', 'four'],
      ]);
      expect(answers.map(vectorsIn)).toEqual([
        [[0, vectorOf('one')]],
        [
          [0, vectorOf('two')],
          [1, vectorOf('three words here')],
        ],
        [[0, vectorOf('four')]],
      ]);
      expect(answers.map(({ body, headers }) => [body.id, headers['x-request-id']])).toEqual(
        [0, 1, 2].map((at) => [`embeddings-mine-${at}`, `mine-${at}`]),
      );
      expect(answers.map(({ headers }) => headers['x-autoglm-batch'])).toEqual(['3', '3', '3']);
      // Six words in all; the engine says no more than that.
      expect(answers.map(promptTokens).reduce((sum, tokens) => sum + tokens)).toBe(6);
      const log = await eventually(() => {
        const lines = gateway.log().filter(({ batch_size: size }) => size === 3);
        return lines.length === 3 && lines;
      });
      expect(log.map((line) => [line['http.request.id'], line.outcome, line.attempts, line.replica])).toEqual(
        [0, 1, 2].map((at) => [`mine-${at}`, 'completed', 1, 'vectors/0']),
      );
      expect(log.map(({ prompt_tokens: tokens }) => tokens)).toEqual(answers.map(promptTokens));
      expect((await gateway.report()).inFlight).toBe(0);
    });
  });

  it('are counted by metrics: size, wait, tokens', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      await together(gateway, '/v1/embeddings', [{ input: 'a b' }, { input: 'c d' }]);
      const samples = await eventually(async () => {
        const found = new Map(
          parsePrometheusText((await gateway.report()).metricsText).map(({ name, value }) => [name, value]),
        );
        return found.get('autoglm_batching_requests_count') === 2 && found;
      });
      expect(samples.get('autoglm_batching_requests_sum')).toBe(3);
      expect(samples.get('autoglm_batching_wait_seconds_count')).toBe(3);
    });
  });

  it('go at once when nothing of their kind is under way: a lone request waits for nobody', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      // With a wait of a minute, each would time out if it waited.
      for (const input of ['a', 'b'])
        expect((await post(gateway, '/v1/embeddings', { input })).status).toBe(200);
      expect(engine.calls.map((call) => call.body.input)).toEqual(['a', 'b']);
    });
  });

  it('go when the batch is full, or the first has waited long enough, while the call before them still runs', async () => {
    await withGateway([batched(engine.url, { unitsMax: 2 })], async (gateway) => {
      engine.hold();
      const answers = ['a', 'b', 'c'].map((input) => ({ input })).map((body) => body);
      const sent: Promise<Answered>[] = [];
      for (const [at, body] of answers.entries()) {
        sent.push(post(gateway, '/v1/embeddings', body));
        await inFlight(gateway, at + 1);
      }
      await eventually(() => engine.calls.length === 2);
      expect(engine.calls.map((call) => call.inputs)).toEqual([['a'], ['b', 'c']]);
      engine.release();
      expect(statuses(await Promise.all(sent))).toEqual([200, 200, 200]);
    });
    engine.calls.length = 0;
    await withGateway([batched(engine.url, { waitMaxMs: 20 })], async (gateway) => {
      engine.hold();
      const sent = [post(gateway, '/v1/embeddings', { input: 'a' })];
      await eventually(() => engine.calls.length === 1);
      sent.push(post(gateway, '/v1/embeddings', { input: 'b' }));
      await eventually(() => engine.calls.length === 2);
      engine.release();
      expect(statuses(await Promise.all(sent))).toEqual([200, 200]);
    });
  });

  it('are embeddings as base64, rerank, score and classification alike', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      const asBase64 = ['x', 'y'].map((input) => ({ input, encoding_format: 'base64' }));
      expect((await together(gateway, '/v1/embeddings', asBase64)).map(vectorsIn)).toEqual([
        [[0, base64Of('x')]],
        [[0, base64Of('y')]],
      ]);
      engine.calls.length = 0;
      const classified = await together(gateway, '/v1/classify', [
        { input: 'good' },
        { input: ['fine', 'so'] },
      ]);
      expect(engine.calls.map((call) => call.path)).toEqual(['/classify', '/classify']);
      expect(classified.map(({ body }) => body.data)).toEqual([
        [{ index: 0, label: 'good', probs: [0.25, 0.75], num_classes: 2 }],
        ['fine', 'so'].map((label, index) => ({ index, label, probs: [0.25, 0.75], num_classes: 2 })),
      ]);
      engine.calls.length = 0;
      const ranked = await together(gateway, '/v1/rerank', [
        { query: 'q', documents: ['a', 'zzz', 'mm'], top_n: 2 },
        { query: 'q', documents: ['b'] },
      ]);
      expect(engine.calls[1]?.body).toEqual({
        model: 'vectors',
        query: 'q',
        documents: ['a', 'zzz', 'mm', 'b'],
      });
      const results = ranked.map(
        ({ body }) => body.results as { index: number; document: { text: string } }[],
      );
      expect(results.map((list) => list.map(({ index, document }) => [index, document.text]))).toEqual([
        [
          [1, 'zzz'],
          [2, 'mm'],
        ],
        [[0, 'b']],
      ]);
      engine.calls.length = 0;
      const scored = await together(gateway, '/v1/score', [
        { text_1: 'p', text_2: 'a' },
        { text_1: ['q', 'r'], text_2: ['b', 'c'] },
      ]);
      expect(engine.calls[1]?.body).toEqual({
        model: 'vectors',
        text_1: ['p', 'q', 'r'],
        text_2: ['a', 'b', 'c'],
      });
      expect(scored.map(({ body }) => (body.data as { index: number }[]).map(({ index }) => index))).toEqual([
        [0],
        [0, 1],
      ]);
    });
  });

  it('are what the SDK of OpenAI sends and reads', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      const client = new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0 });
      const texts = Array.from({ length: 24 }, (_, at) => `text ${at}`);
      const answers = await Promise.all(
        texts.map((input) => client.embeddings.create({ model: 'vectors', input })),
      );
      expect(answers.map(({ data }) => data.map(({ embedding }) => embedding))).toEqual(
        texts.map((text) => [vectorOf(text)]),
      );
      expect(engine.calls.length).toBeLessThan(texts.length);
      expect(engine.calls.flatMap((call) => call.inputs).sort()).toEqual(texts.sort());
    });
  });
});

describe('requests that differ', () => {
  it('never share a call: parameters, models, end points, explained ones, texts and token ids', async () => {
    const other = { ...batched(engine.url), model: 'others', aliases: ['nicknames'] };
    await withGateway([batched(engine.url), other], async (gateway) => {
      const bodies = [
        { input: 'a' },
        { input: 'b', dimensions: 2 },
        { input: 'c', encoding_format: 'base64' },
        { input: 'd', model: 'others' },
        { input: 'e', model: 'nicknames' },
        { input: [1, 2] },
        { input: 'f', user: 'someone' },
      ];
      engine.hold();
      // Twice each: the first of a kind goes at once, the second waits for it.
      const first = bodies.map((body) => post(gateway, '/v1/embeddings', body));
      await eventually(() => engine.calls.length === bodies.length);
      const second = bodies.map((body) => post(gateway, '/v1/embeddings', body));
      await inFlight(gateway, 2 * bodies.length);
      expect(engine.calls.length).toBe(bodies.length);
      const explained = post(
        gateway,
        '/v1/embeddings',
        { input: 'a' },
        { headers: { 'x-autoglm-explain': '1' } },
      );
      await eventually(() => engine.calls.length === bodies.length + 1);
      engine.release();
      expect(statuses(await Promise.all([...first, ...second, explained]))).toEqual(Array(15).fill(200));
      expect((await explained).headers['x-autoglm-explain']).toBeDefined();
      expect(engine.calls.every((call) => call.inputs.length === 1)).toBe(true);
    });
  });

  it('never share a call across keys, and each key pays for its own', async () => {
    // Each request reserves nine tokens of these, and uses two: five fit only because what is not used is given back.
    const keys = ['anna', 'berta'].map((name) => ({
      name,
      sha256: createHash('sha256').update(`key-${name}`).digest('hex'),
      limits: { tokensPerMinute: 40, requestsPerMinute: 5 },
    }));
    await withGateway(
      [batched(engine.url)],
      async (gateway) => {
        const ask = (name: string, input: string) =>
          post(gateway, '/v1/embeddings', { input }, { headers: { authorization: `Bearer key-${name}` } });
        engine.hold();
        const first = ['anna', 'berta'].map((name) => ask(name, `${name} 0`));
        await eventually(() => engine.calls.length === 2);
        const second = ['anna', 'berta', 'anna', 'berta', 'anna'].map((name, at) =>
          ask(name, `${name} ${at + 1}`),
        );
        await inFlight(gateway, 7);
        engine.release();
        const answers = await Promise.all([...first, ...second]);
        expect(statuses(answers)).toEqual(Array(7).fill(200));
        expect(
          engine.calls
            .map((call) => call.inputs.map((text) => text.split(' ')[0]))
            .map((names) => new Set(names).size),
        ).toEqual([1, 1, 1, 1]);
        const last = await Promise.all(['anna', 'berta'].map((name) => ask(name, 'x y')));
        expect(statuses(last)).toEqual([200, 200]);
        const beyond = await ask('anna', 'x y');
        expect([beyond.status, (beyond.body.error as { message: string }).message]).toEqual([
          429,
          expect.stringContaining('requests per min'),
        ]);
        const log = await eventually(() => {
          const lines = gateway.log().filter(({ message }) => message === 'request');
          return lines.length === 10 && lines;
        });
        const tokensOf = (name: string) =>
          log.filter(({ key }) => key === name).reduce((sum, line) => sum + Number(line.prompt_tokens), 0);
        expect([tokensOf('anna'), tokensOf('berta')]).toEqual([10, 8]);
      },
      { keys },
    );
  });
});

describe('what goes wrong', () => {
  it('is the matter of one: a bad item fails alone', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      const inputs = ['a', 'b', 'a bad one', 'c', 'd', 'e', 'f'];
      const answers = await together(
        gateway,
        '/v1/embeddings',
        inputs.map((input) => ({ input })),
      );
      expect(statuses(answers)).toEqual([200, 200, 400, 200, 200, 200, 200]);
      expect(answers[2]?.body).toEqual({
        error: expect.objectContaining({ message: 'input 0 is bad: a bad one' }),
      });
      expect(vectorsIn(answers[6] as Answered)).toEqual([[0, vectorOf('f')]]);
      // The lone one, the whole, and at most 2 · log2(7).
      expect(engine.calls.length).toBeLessThanOrEqual(1 + 1 + 6);
    });
  });

  it('is found also when the engine breaks over it, as llama-server does over a text that is too long', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      const inputs = ['a', 'b', 'poison', 'c'];
      const answers = await together(
        gateway,
        '/v1/embeddings',
        inputs.map((input) => ({ input })),
      );
      expect(statuses(answers)).toEqual([200, 200, 500, 200]);
    });
  });

  it('is a list that is too long for the engine: smaller ones are sent, and are made from then on', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      engine.inputsMax = 2;
      const bodies = ['a', 'b', 'c', 'd'].map((input) => ({ input }));
      expect(statuses(await together(gateway, '/v1/embeddings', bodies))).toEqual([200, 200, 200, 200]);
      expect(engine.calls.map((call) => call.inputs.length)).toEqual([1, 4, 2, 2]);
      engine.calls.length = 0;
      expect(statuses(await together(gateway, '/v1/embeddings', bodies))).toEqual([200, 200, 200, 200]);
      expect(engine.calls.map((call) => call.inputs.length)).toEqual([1, 2, 2]);
    });
  });

  it('is an answer that is not one to all: each is asked for by itself, and passed on as it is', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      const answers = await together(gateway, '/v1/embeddings', [{ input: 'a' }, { input: 'odd' }]);
      expect(statuses(answers)).toEqual([200, 200]);
      expect(answers.map((answer) => vectorsIn(answer).length)).toEqual([1, 0]);
    });
  });

  it('is a queue that is full: all of a batch are told when to come again', async () => {
    const pool = {
      ...poolOf('vectors', [{ url: engine.url, window: 1 }]),
      batching: { ...ALL, unitsMax: 2 },
    };
    await withGateway(
      [pool],
      async (gateway) => {
        engine.hold();
        const sent: Promise<Answered>[] = [];
        for (const input of ['runs', 'waits', 'waits too', 'x', 'y']) {
          sent.push(post(gateway, '/v1/embeddings', { input }));
          await inFlight(gateway, sent.length - (input === 'y' ? 2 : 0));
        }
        const refused = await Promise.all(sent.slice(3));
        for (const { status, headers, body } of refused) {
          expect([status, (body.error as { code: string }).code]).toEqual([429, 'saturated']);
          expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
        }
        engine.release();
        expect(statuses(await Promise.all(sent.slice(0, 3)))).toEqual([200, 200, 200]);
        await eventually(
          () => gateway.log().filter(({ outcome }) => outcome === 'rejected-saturated').length === 2,
        );
      },
      { queueSizeMax: 1 },
    );
  });

  it('is an engine that is away: all are told so, and a fallback is asked as for one', async () => {
    const away = batched('http://127.0.0.1:9', {}, { fallbacks: ['spare'] });
    const spare = { ...poolOf('spare', [{ url: engine.url }]), limits: { requestsPerMinute: 3 } };
    await withGateway(
      [{ ...batched('http://127.0.0.1:9'), model: 'alone' }, away, spare],
      async (gateway) => {
        const alone = await Promise.all(
          ['a', 'b', 'c'].map((input) => post(gateway, '/v1/embeddings', { model: 'alone', input })),
        );
        expect(statuses(alone)).toEqual([503, 503, 503]);
        const answers = await Promise.all(
          ['a', 'b', 'c', 'd'].map((input) => post(gateway, '/v1/embeddings', { input })),
        );
        // What the limit of the fallback lets through is served by it, request by request.
        expect(statuses(answers).sort()).toEqual([200, 200, 200, 503]);
        const served = answers.filter(({ status }) => status === 200);
        expect(served.map(({ headers }) => headers['x-autoglm-fallback'])).toEqual([
          'spare',
          'spare',
          'spare',
        ]);
      },
    );
  });
});

describe('a client that leaves', () => {
  it('takes its items out while they wait', async () => {
    await withGateway([batched(engine.url)], async (gateway) => {
      engine.hold();
      const lone = post(gateway, '/v1/embeddings', { input: 'first' });
      await eventually(() => engine.calls.length === 1);
      const leaver = new AbortController();
      const left = post(gateway, '/v1/embeddings', { input: 'left' }, { signal: leaver.signal });
      await inFlight(gateway, 2);
      const stays = [
        post(gateway, '/v1/embeddings', { input: 'stays' }),
        post(gateway, '/v1/embeddings', { input: 'too' }),
      ];
      await inFlight(gateway, 4);
      leaver.abort();
      await expect(left).rejects.toThrow();
      await inFlight(gateway, 3);
      engine.release();
      await lone;
      expect(statuses(await Promise.all(stays))).toEqual([200, 200]);
      expect(engine.calls.map((call) => call.inputs)).toEqual([['first'], ['stays', 'too']]);
      await eventually(() => gateway.log().some(({ outcome }) => outcome === 'cancelled-by-client'));
    });
  });

  it('takes them out of a batch that waits for a place, and the batch goes without them', async () => {
    const pool = poolOf('vectors', [{ url: engine.url, window: 1 }]);
    await withGateway([{ ...pool, batching: { ...ALL, unitsMax: 3 } }], async (gateway) => {
      engine.hold();
      const busy = post(gateway, '/v1/embeddings', { input: 'busy' });
      await eventually(() => engine.calls.length === 1);
      const leaver = new AbortController();
      const left = post(gateway, '/v1/embeddings', { input: 'left' }, { signal: leaver.signal });
      await inFlight(gateway, 2);
      const stays = ['b', 'c'].map((input) => post(gateway, '/v1/embeddings', { input }));
      // Three fill a batch, which has no place while the first is under way.
      await eventually(async () => (await gateway.report()).queued === 1);
      leaver.abort();
      await expect(left).rejects.toThrow();
      await inFlight(gateway, 3);
      engine.release();
      await busy;
      expect((await Promise.all(stays)).map(vectorsIn)).toEqual([[[0, vectorOf('b')]], [[0, vectorOf('c')]]]);
      expect(engine.calls.map((call) => call.inputs)).toEqual([['busy'], ['b', 'c']]);
    });
  });

  it('stops the engine when it was the last of a call, and nobody else when it was not', async () => {
    await withGateway([batched(engine.url, { unitsMax: 2 })], async (gateway) => {
      engine.hold();
      const leavers = [new AbortController(), new AbortController()];
      const lone = post(gateway, '/v1/embeddings', { input: 'first' });
      await eventually(() => engine.calls.length === 1);
      const left = leavers.map(({ signal }, at) =>
        post(gateway, '/v1/embeddings', { input: `l ${at}` }, { signal }),
      );
      const gone = Promise.allSettled(left);
      await eventually(() => engine.calls.length === 2);
      leavers[0]?.abort();
      await inFlight(gateway, 2);
      expect(engine.calls[1]?.aborted).toBe(false);
      leavers[1]?.abort();
      await eventually(() => engine.calls[1]?.aborted);
      await gone;
      engine.release();
      expect((await lone).status).toBe(200);
      await eventually(() => {
        const lines = gateway.log().filter(({ outcome }) => outcome === 'cancelled-by-client');
        return lines.length === 2 && lines.every(({ attempts }) => attempts === 1);
      });
    });
  });
});

describe('time', () => {
  it('is each request’s own: one that is late is answered so, others go on', async () => {
    await withGateway(
      [batched(engine.url)],
      async (gateway) => {
        engine.hold();
        const lone = post(gateway, '/v1/embeddings', { input: 'first' });
        await eventually(() => engine.calls.length === 1);
        const hurried = post(
          gateway,
          '/v1/embeddings',
          { input: 'x' },
          { headers: { 'x-request-timeout': '0.2' } },
        );
        await inFlight(gateway, 2);
        const calm = post(gateway, '/v1/embeddings', { input: 'y' });
        const late = await hurried;
        expect([late.status, (late.body.error as { code: string }).code]).toEqual([408, 'queue_timeout']);
        engine.release();
        await lone;
        expect((await calm).status).toBe(200);
        expect(engine.calls.map((call) => call.inputs)).toEqual([['first'], ['y']]);
      },
      {},
    );
  });

  it('ends for all that wait for an engine that does not answer', async () => {
    await withGateway(
      [batched(engine.url, { unitsMax: 2 })],
      async (gateway) => {
        engine.hold();
        const answers = await Promise.all(
          ['a', 'b', 'c', 'd'].map((input) => post(gateway, '/v1/embeddings', { input })),
        );
        expect(answers.map(({ status, body }) => [status, (body.error as { code: string }).code])).toEqual(
          Array(4).fill([504, 'upstream_timeout']),
        );
        expect((await gateway.report()).inFlight).toBe(0);
      },
      { totalTimeoutMs: 500 },
    );
  });
});

describe('beside other parts', () => {
  it('is asked for what the cache has not: each client’s part is kept as its own answer', async () => {
    const cache = {
      mode: 'always',
      ttlMs: 60_000,
      sampled: false,
      endpoints: ['embeddings'],
      revision: 'r',
    } as const;
    await withGateway(
      [batched(engine.url, {}, { cache })],
      async (gateway) => {
        engine.hold();
        const first = post(gateway, '/v1/embeddings', { input: 'a' });
        await eventually(() => engine.calls.length === 1);
        const asked: Promise<Answered>[] = [];
        for (const input of ['b', 'c']) {
          asked.push(post(gateway, '/v1/embeddings', { input }));
          await inFlight(gateway, 1 + asked.length);
        }
        engine.release();
        await first;
        const answers = await Promise.all(asked);
        expect(engine.calls.map((call) => call.inputs)).toEqual([['a'], ['b', 'c']]);
        expect(answers.map(vectorsIn)).toEqual(['b', 'c'].map((text) => [[0, vectorOf(text)]]));
        // The cache thread may be late, and the engine is asked then.
        const again = await eventually(async () => {
          const answer = await post(gateway, '/v1/embeddings', { input: 'c' });
          return answer.headers['x-autoglm-cache'] === 'hit' && answer;
        });
        expect([vectorsIn(again), promptTokens(again)]).toEqual([[[0, vectorOf('c')]], 1]);
      },
      { cache: { bytesMax: 10_000_000, store: 'memory' } },
    );
  });

  it('lets lines of a batch share calls among themselves, not with clients', async () => {
    const key = 'the key of the runner';
    const sha256 = createHash('sha256').update(key).digest('hex');
    const filler = { 'x-autoglm-filler-key': key, 'x-autoglm-filler-owner': 'anna' };
    await withGateway(
      [batched(engine.url)],
      async (gateway) => {
        engine.hold();
        const client = [post(gateway, '/v1/embeddings', { input: 'client 0' })];
        const lines = [post(gateway, '/v1/embeddings', { input: 'line 0' }, { headers: filler })];
        await eventually(() => engine.calls.length === 2);
        for (const at of [1, 2]) {
          client.push(post(gateway, '/v1/embeddings', { input: `client ${at}` }));
          lines.push(post(gateway, '/v1/embeddings', { input: `line ${at}` }, { headers: filler }));
        }
        await inFlight(gateway, 6);
        engine.release();
        expect(statuses(await Promise.all([...client, ...lines]))).toEqual(Array(6).fill(200));
        const kinds = engine.calls.map(({ inputs }) => inputs.map((text) => text.split(' ')[0]).join(' '));
        expect(kinds.sort()).toEqual(['client', 'client client', 'line', 'line line']);
      },
      { fillerKeySha256: sha256 },
    );
  });

  it('asks an engine where it has the end point, alone and together', async () => {
    const pool = poolOf('vectors', [
      { url: engine.url, capabilities: { paths: { classify: '/v1/classify' } } },
    ]);
    await withGateway([{ ...pool, batching: ALL }], async (gateway) => {
      expect(statuses(await together(gateway, '/classify', [{ input: 'a' }, { input: 'b' }]))).toEqual([
        200, 200,
      ]);
      expect(engine.calls.map(({ path }) => path)).toEqual(['/v1/classify', '/v1/classify']);
    });
  });

  it('follows the configuration, down to simulators that speak as vLLM and as SGLang do', async () => {
    const sglang = await startSimulator(['--dialect', 'sglang', '--model-name', 'other']);
    const system = await startSystem({
      gateway: { workers: 1 },
      models: [
        { ...simulatorPool('sim', 1), batching: { max_batch_size: 16, max_wait_ms: 50 } },
        { model_name: 'other', engine: 'sglang', urls: [sglang.url], batching: {} },
      ],
    });
    try {
      for (const model of ['sim', 'other']) {
        const inputs = Array.from({ length: 24 }, (_, at) => `word ${at}`);
        const ask = async (input: string) => {
          const answer = await fetch(`${system.v1()}/classify`, {
            method: 'POST',
            body: JSON.stringify({ model, input }),
          });
          const { data } = (await answer.json()) as { data: unknown };
          return { status: answer.status, batch: Number(answer.headers.get('x-autoglm-batch') ?? 1), data };
        };
        const alone: Awaited<ReturnType<typeof ask>>[] = [];
        for (const input of inputs) alone.push(await ask(input));
        expect(new Set(alone.map(({ status, batch }) => `${status} ${batch}`))).toEqual(new Set(['200 1']));
        // A simulator answers so soon that company is a matter of chance.
        const answers = await eventually(async () => {
          const found = await Promise.all(inputs.map(ask));
          expect(found.map(({ data }) => data)).toEqual(alone.map(({ data }) => data));
          return found.some(({ batch }) => batch > 1) && found;
        });
        expect(Math.max(...answers.map(({ batch }) => batch))).toBeLessThanOrEqual(model === 'sim' ? 16 : 64);
      }
    } finally {
      await system.stop();
      await sglang.kill();
    }
  });
});
