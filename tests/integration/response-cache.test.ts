/** The response cache as clients meet it: real gateway processes with two workers, stock clients, engines that count. */
import { createHash } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PoolCache } from '../../src/contract/fleet.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { sendRaw } from '../support/raw-http.ts';
import { ANSWER_TEXT, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';
import { type SimulatorUnderTest, startSimulator } from '../support/simulator-under-test.ts';

const CACHE: PoolCache = {
  mode: 'always',
  ttlMs: 600_000,
  sampled: false,
  endpoints: ['chat', 'completions', 'embeddings'],
  revision: 'r1',
};

let engine: ScriptedEngine;
let second: ScriptedEngine;
let simulator: SimulatorUnderTest;
let gateway: RunningGateway;
let prompts = 0;

function pools(revision = 'r1') {
  const cache = { ...CACHE, revision };
  return [
    { ...poolOf('script', [{ url: engine.url }]), cache },
    { ...poolOf('pair', [{ url: engine.url }, { url: second.url }]), cache },
    { ...poolOf('by-header', [{ url: engine.url }]), cache: { ...cache, mode: 'by-header' as const } },
    { ...poolOf('sim', [{ url: simulator.url, engine: 'simulator' }]), cache },
    {
      ...poolOf('similar', [{ url: engine.url }]),
      cache: { ...cache, semantic: { embeddingModel: 'sim', threshold: 0.9 } },
    },
    {
      ...poolOf('similar-without-vectors', [{ url: engine.url }]),
      cache: { ...cache, semantic: { embeddingModel: 'gone', threshold: 0.9 } },
    },
    poolOf('never', [{ url: engine.url }]),
  ];
}

beforeAll(async () => {
  engine = await startScriptedEngine();
  second = await startScriptedEngine();
  simulator = await startSimulator(['--model-name', 'sim', '--speed', '50', '--mean-tokens', '30']);
  gateway = await startGateway(pools(), {
    workers: 2,
    cache: { bytesMax: 50_000_000, store: 'memory' },
    keys: ['ada', 'bob'].map((name) => ({
      name,
      sha256: createHash('sha256').update(`sk-${name}`).digest('hex'),
    })),
  });
});

afterAll(async () => {
  await gateway.stop();
  await engine.close();
  await second.close();
  await simulator.kill();
});

afterEach(async () => {
  await eventually(() => engine.inFlight + second.inFlight === 0);
  for (const one of [engine, second]) Object.assign(one, { base: {}, next: [], seen: [] });
});

/** A question that nobody has asked before. */
function chatOf(model: string, more: object = {}) {
  return {
    model,
    temperature: 0,
    messages: [{ role: 'user' as const, content: `question ${prompts++}` }],
    ...more,
  };
}

const clientOf = (caller = 'ada') =>
  new OpenAI({ baseURL: gateway.v1, apiKey: `sk-${caller}`, maxRetries: 0 });

async function ask(
  body: object,
  {
    caller = 'ada',
    path = '/chat/completions',
    headers = {},
  }: { caller?: string; path?: string; headers?: Record<string, string> } = {},
) {
  const response = await fetch(`${gateway.v1}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer sk-${caller}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    cache: response.headers.get('x-autoglm-cache'),
    age: response.headers.get('age'),
    text,
  };
}

/** A stream as it travels: the chunks of the transfer coding, each as one text. */
async function chunksOf(body: object): Promise<{ cache: string | undefined; chunks: string[] }> {
  const bytes = Buffer.from(JSON.stringify(body));
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-ada\r\nConnection: close\r\nContent-Length: ${bytes.length}\r\n\r\n`;
  const { text } = await sendRaw(gateway.port, Buffer.concat([Buffer.from(head), bytes]), 10_000, 10_000);
  const bodyAt = text.indexOf('\r\n\r\n') + 4;
  return {
    cache: /^x-autoglm-cache: (\w+)/im.exec(text.slice(0, bodyAt))?.[1],
    chunks: dechunk(text.slice(bodyAt)),
  };
}

function dechunk(text: string): string[] {
  const chunks: string[] = [];
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (!(size > 0)) break;
    chunks.push(text.slice(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
  return chunks;
}

describe('response cache', () => {
  it('answers the second of two equal questions without the engine, whatever worker it reaches', async () => {
    const body = chatOf('script');
    const first = await ask(body);
    expect(first).toMatchObject({ status: 200, cache: 'miss' });
    const others = await Promise.all(Array.from({ length: 10 }, () => ask(body)));
    for (const other of others) expect(other).toMatchObject({ cache: 'hit', text: first.text });
    expect(others[0]?.age).toBe('0');
    expect(engine.seen).toHaveLength(1);
  });

  it('says so in the log and the metrics, and counts its tokens as saved', async () => {
    const body = chatOf('script');
    await ask(body);
    const before = (await gateway.report()).metricsText;
    await ask(body);
    await eventually(() => gateway.log().filter(({ cache }) => cache === 'hit').length > 0);
    expect(gateway.log().findLast(({ cache }) => cache === 'hit')).toMatchObject({
      model: 'script',
      attempts: 0,
      prompt_tokens: 3,
      completion_tokens: 11,
      'http.response.status_code': 200,
    });
    const after = await eventually(async () => {
      const { metricsText } = await gateway.report();
      return (
        samplesOf(metricsText, 'autoglm_cache_requests_total', 'hit') >
          samplesOf(before, 'autoglm_cache_requests_total', 'hit') &&
        // The cache has a thread of its own, which tells what it holds now and then.
        samplesOf(metricsText, 'autoglm_cache_entries', 'gateway') > 0 &&
        metricsText
      );
    });
    const saved = (text: string) => samplesOf(text, 'autoglm_cache_saved_tokens_total', 'completion');
    const made = (text: string) => samplesOf(text, 'autoglm_tokens_total', 'completion');
    expect(saved(after) - saved(before)).toBe(11);
    expect(made(after)).toBe(made(before));
  });

  it('replays a stream byte for byte, at the borders of its chunks', async () => {
    engine.base = { paceMs: 20 };
    const body = chatOf('script', { stream: true, stream_options: { include_usage: true } });
    const first = await chunksOf(body);
    const again = await chunksOf(body);
    expect([first.cache, again.cache]).toEqual(['miss', 'hit']);
    expect(first.chunks.length).toBeGreaterThan(5);
    expect(again.chunks).toEqual(first.chunks);
  });

  it('serves the stock client: whole, streamed, embeddings, tools', async () => {
    const client = clientOf();
    const ask2 = async <T>(call: () => Promise<T>) => [await call(), await call()] as const;
    const whole = chatOf('sim');
    const [a, b] = await ask2(() => client.chat.completions.create(whole));
    expect(b).toEqual(a);
    const streamed = chatOf('sim', { stream: true as const });
    const [c, d] = await ask2(async () => {
      const events = [];
      for await (const event of (await client.chat.completions.create(
        streamed as never,
      )) as never as AsyncIterable<object>)
        events.push(event);
      return events;
    });
    expect(d).toEqual(c);
    expect(c.length).toBeGreaterThan(3);
    const [e, f] = await ask2(() => client.embeddings.create({ model: 'sim', input: 'x' }).withResponse());
    expect(f.data).toEqual(e.data);
    expect([e.response.headers.get('x-autoglm-cache'), f.response.headers.get('x-autoglm-cache')]).toEqual([
      'miss',
      'hit',
    ]);
  });

  it('serves other dialects from the same answers', async () => {
    const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: 'sk-ada', maxRetries: 0 });
    const { messages } = chatOf('script');
    const body = { model: 'script', max_tokens: 100, temperature: 0, messages };
    const first = await anthropic.messages.create(body);
    const { data, response } = await anthropic.messages.create(body).withResponse();
    expect(response.headers.get('x-autoglm-cache')).toBe('hit');
    expect(data.content).toEqual(first.content);
    const input = `question ${prompts++}`;
    const client = clientOf();
    for (const cache of ['miss', 'hit']) {
      const created = await client.responses
        .create({ model: 'script', temperature: 0, input })
        .withResponse();
      expect(created.response.headers.get('x-autoglm-cache')).toBe(cache);
      expect(created.data.output_text).toBe(ANSWER_TEXT);
    }
    expect(engine.seen).toHaveLength(2);
  });

  it.each([
    false,
    true,
  ])('asks the engine once for 50 equal questions at a time (stream: %s)', async (stream) => {
    engine.base = { paceMs: 10, quietMs: 50 };
    const body = chatOf('script', { stream });
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(body)));
    expect(engine.seen).toHaveLength(1);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.map(({ cache }) => cache).sort()).toEqual([...Array(49).fill('hit'), 'miss']);
  });

  it('gives followers the tokens of a stream as they come, also those who come late', async () => {
    engine.base = { paceMs: 40 };
    const body = chatOf('script', { stream: true });
    const lead = ask(body);
    await eventually(() => engine.seen.length === 1);
    const times: number[] = [];
    const startMs = performance.now();
    const response = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-ada' },
      body: JSON.stringify(body),
    });
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      times.push(performance.now() - startMs);
      text += Buffer.from(chunk).toString();
    }
    expect(text).toBe((await lead).text);
    expect((times.at(-1) as number) - (times[0] as number)).toBeGreaterThan(150);
    expect(engine.seen).toHaveLength(1);
  });

  it('never gives one tenant what another asked', async () => {
    const body = chatOf('script');
    expect([(await ask(body)).cache, (await ask(body, { caller: 'bob' })).cache]).toEqual(['miss', 'miss']);
    engine.base = { quietMs: 50 };
    const same = chatOf('script');
    const both = await Promise.all([ask(same), ask(same, { caller: 'bob' })]);
    expect(both.map(({ cache }) => cache)).toEqual(['miss', 'miss']);
    expect(engine.seen).toHaveLength(4);
  });

  it('forgets what a model said when the model is replaced, and keeps it over restarts', async () => {
    const body = chatOf('script');
    await ask(body);
    const restarted = pools().map((pool) => ({
      ...pool,
      replicas: pool.replicas.map((replica) => ({ ...replica, generation: 2 })),
    }));
    await gateway.publish(restarted);
    expect((await ask(body)).cache).toBe('hit');
    await gateway.publish(pools('r2'));
    await eventually(async () => (await ask(body)).cache === 'miss');
    await gateway.publish(pools());
    await eventually(async () => (await ask(chatOf('script'))).cache === 'miss');
  });

  it('keeps nothing of a replica that is about to be replaced', async () => {
    const outdated = pools().map((pool) => ({
      ...pool,
      replicas: pool.replicas.map((replica) => ({ ...replica, outdated: true as const })),
    }));
    await gateway.publish([...outdated, poolOf('marker', [{ url: engine.url }])]);
    await eventually(async () => (await ask(chatOf('marker'))).status === 200);
    const body = chatOf('script');
    expect([(await ask(body)).cache, (await ask(body)).cache]).toEqual(['miss', 'miss']);
    await gateway.publish(pools());
    await eventually(async () => {
      const fresh = chatOf('script');
      await ask(fresh);
      return (await ask(fresh)).cache === 'hit';
    });
  });

  it('goes on for the others when the one who asked first leaves', async () => {
    engine.base = { paceMs: 30 };
    const body = chatOf('script', { stream: true });
    const leaving = new AbortController();
    const lead = fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-ada' },
      body: JSON.stringify(body),
      signal: leaving.signal,
    });
    await eventually(() => engine.seen.length === 1);
    const followers = [ask(body), ask(body), ask(body)];
    await (await lead).body?.getReader().read();
    leaving.abort();
    for (const { text, status } of await Promise.all(followers)) {
      expect(status).toBe(200);
      expect(text).toContain('[DONE]');
    }
    expect(engine.seen).toHaveLength(1);
    expect((await ask(body)).cache).toBe('hit');
    await eventually(() =>
      gateway.log().some(({ outcome, cache }) => outcome === 'cancelled-by-client' && cache === 'miss'),
    );
  });

  it('stops the engine when all have left', async () => {
    engine.base = { paceMs: 50 };
    const body = chatOf('script', { stream: true });
    const leaving = new AbortController();
    const open = () =>
      fetch(`${gateway.v1}/chat/completions`, {
        method: 'POST',
        headers: { authorization: 'Bearer sk-ada' },
        body: JSON.stringify(body),
        signal: leaving.signal,
      });
    await Promise.all([open(), open(), open()]);
    expect(engine.seen).toHaveLength(1);
    leaving.abort();
    await eventually(() => engine.seen[0]?.abortedAtMs !== null, 1_000);
    await eventually(() => engine.inFlight === 0);
    engine.base = {};
    expect((await ask(body)).cache).toBe('miss');
  });

  it('continues a stream whose engine dies, for all who read it, and keeps it without the notes of that moment', async () => {
    engine.next = [{ dieAfter: 4, paceMs: 10 }];
    second.next = [{ dieAfter: 4, paceMs: 10 }];
    const body = chatOf('pair', { stream: true });
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(body)));
    for (const { text } of answers) {
      expect(contentOf(text)).toBe(ANSWER_TEXT);
      expect(text).toContain('x-autoglm-continuation');
    }
    const again = await ask(body);
    expect(again.cache).toBe('hit');
    expect(contentOf(again.text)).toBe(ANSWER_TEXT);
    expect(again.text).not.toContain('x-autoglm-continuation');
  });

  it('never keeps a stream that ended with an error, and tells all who read it', async () => {
    engine.base = { dieAfter: 4, paceMs: 10 };
    const body = chatOf('script', { stream: true, n: 2 });
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(body)));
    for (const { text } of answers) {
      expect(text).toContain('"error"');
      expect(text).not.toContain('[DONE]');
    }
    engine.base = {};
    expect((await ask(body)).cache).toBe('miss');
  });

  it('lets the next one try when the engine fails before it says anything', async () => {
    // The first request and its retries fail; those who waited for it do not.
    engine.next = [{ quietMs: 100, status: 500 }, { status: 500 }, { status: 500 }];
    const body = chatOf('script');
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(19).fill(200), 500]);
    expect(engine.seen).toHaveLength(4);
  });

  it('shares a refusal with those who waited for it, and does not keep it', async () => {
    engine.base = { quietMs: 50, status: 400 };
    const body = chatOf('script');
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(body)));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(400));
    expect(engine.seen).toHaveLength(1);
    engine.base = {};
    expect(await ask(body)).toMatchObject({ status: 200, cache: 'miss' });
  });

  it.each<[string, string, object, Record<string, string>, (string | null)[]]>([
    ['a sampled answer', 'script', { temperature: 1 }, {}, ['bypass', 'bypass']],
    [
      'a sampled answer that is asked for',
      'script',
      { temperature: 1 },
      { 'x-autoglm-cache': 'sampled' },
      ['miss', 'hit'],
    ],
    ['off', 'script', {}, { 'x-autoglm-cache': 'off' }, ['bypass', 'bypass']],
    ['no-store', 'script', {}, { 'cache-control': 'no-store' }, ['bypass', 'bypass']],
    ['no-cache', 'script', {}, { 'cache-control': 'no-cache' }, ['miss', 'miss']],
    ['max-age', 'script', {}, { 'cache-control': 'max-age=0' }, ['miss', 'miss']],
    ['a model by header, without one', 'by-header', {}, {}, [null, null]],
    ['a model by header, with one', 'by-header', {}, { 'x-autoglm-cache': 'on' }, ['miss', 'hit']],
    ['a model that never does', 'never', {}, { 'x-autoglm-cache': 'on' }, [null, null]],
  ])('%s', async (_name, model, more, headers, expected) => {
    const body = chatOf(model, more);
    const found = [];
    for (const _turn of expected) {
      found.push((await ask(body, { headers })).cache);
      // An age of 0 is young enough within its millisecond.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(found).toEqual(expected);
  });

  describe('for questions that mean the same', () => {
    const words = 'please tell me in a few words how the weather of the coming weekend will be';
    const asked = (content: string, more: object = {}) => ({
      ...chatOf('similar', more),
      messages: [
        { role: 'system' as const, content: `be brief ${prompts}` },
        { role: 'user' as const, content },
      ],
    });

    it.each([
      false,
      true,
    ])('gives the answer to the nearest one, and says how near (stream: %s)', async (stream) => {
      const first = asked(words, { stream });
      const other = { ...first, messages: [first.messages[0], { role: 'user', content: `${words} ?` }] };
      const { text } = await ask(first);
      const response = await fetch(`${gateway.v1}/chat/completions`, {
        method: 'POST',
        headers: { authorization: 'Bearer sk-ada' },
        body: JSON.stringify(other),
      });
      expect(await response.text()).toBe(text);
      expect(response.headers.get('x-autoglm-cache')).toBe('hit');
      const similarity = Number(response.headers.get('x-autoglm-cache-similarity'));
      expect(similarity).toBeGreaterThan(0.9);
      expect(similarity).toBeLessThan(1);
      expect(engine.seen).toHaveLength(1);
      await eventually(() => gateway.log().some(({ cache }) => cache === 'similar'));
    });

    it('asks the engine for another meaning, another conversation, another tenant, and when only the exact will do', async () => {
      const first = asked(words);
      await ask(first);
      const near = { role: 'user', content: `${words} ?` };
      const miss = async (body: object, options: Parameters<typeof ask>[1] = {}) =>
        expect((await ask(body, options)).cache).toBe('miss');
      await miss({ ...first, messages: [first.messages[0], { role: 'user', content: 'bake a cake' }] });
      await miss({ ...first, messages: [{ role: 'system', content: 'be long' }, near] });
      await miss({ ...first, messages: [first.messages[0], near] }, { caller: 'bob' });
      await miss(
        { ...first, messages: [first.messages[0], near] },
        { headers: { 'x-autoglm-cache': 'exact' } },
      );
      expect(engine.seen).toHaveLength(5);
    });

    it('goes on when nobody can say what a question means', async () => {
      const body = chatOf('similar-without-vectors');
      expect([(await ask(body)).cache, (await ask(body)).cache]).toEqual(['miss', 'hit']);
    });

    it('still asks once for many equal ones', async () => {
      engine.base = { quietMs: 50 };
      const body = asked(words);
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(body)));
      expect(engine.seen).toHaveLength(1);
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    });
  });

  it('refuses a word that it does not know', async () => {
    const answer = await ask(chatOf('script'), { headers: { 'x-autoglm-cache': 'yes' } });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('on, sampled, exact, refresh, off');
  });
});

function contentOf(stream: string): string {
  return [...stream.matchAll(/^data: (\{.*\})$/gm)]
    .map(
      ([, data]) =>
        (JSON.parse(data as string) as { choices: { delta?: { content?: string } }[] }).choices[0]?.delta
          ?.content ?? '',
    )
    .join('');
}

/** Of the samples of a metric whose labels hold a text, the sum. */
function samplesOf(metrics: string, name: string, label: string): number {
  return metrics
    .split('\n')
    .filter(
      (line) =>
        (line.startsWith(`${name}{`) && line.includes(`"${label}"`)) ||
        (label === 'gateway' && line.startsWith(name)),
    )
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
