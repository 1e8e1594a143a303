/**
 * How a gateway shares requests out, seen from outside: strategies, weights, turns in the queue, the breaker, and explanations.
 * Engines are scripted, so that what each was sent is known exactly. Each gateway has two workers or more.
 */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { percentile } from '../../bench/statistics.ts';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import type { StrategyName } from '../../src/contract/scheduling.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { startGpuExporter } from '../support/gpu-exporter.ts';
import { type Script, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(
  replicas: { weight?: number; window?: number; gpuMetricsUrl?: string; script?: Script }[],
  { strategy, ...settings }: Partial<GatewaySettings> & { strategy?: StrategyName } = {},
): Promise<{ engines: ScriptedEngine[]; gateway: RunningGateway }> {
  const engines = await Promise.all(replicas.map(({ script }) => startScriptedEngine(script)));
  for (const engine of engines) cleanups.push(() => engine.close());
  const pool = poolOf(
    'demo',
    replicas.map(({ script: _, ...replica }, index) => ({ ...replica, url: engines[index]!.url })),
  );
  const gateway = await startGateway([strategy === undefined ? pool : { ...pool, strategy }], settings);
  cleanups.push(() => gateway.stop());
  return { engines, gateway };
}

interface Ask {
  text?: string;
  headers?: Record<string, string>;
  body?: Record<string, unknown>;
}

/** `connection: close` so that requests are spread over the workers. */
function ask(gateway: RunningGateway, { text = 'Hi', headers = {}, body = {} }: Ask = {}): Promise<Response> {
  return fetch(`${gateway.v1}/chat/completions`, {
    method: 'POST',
    headers: { connection: 'close', ...headers },
    body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: text }], ...body }),
  });
}

async function replicaOf(answer: Promise<Response>): Promise<string> {
  const response = await answer;
  await response.text();
  expect(response.status).toBe(200);
  return response.headers.get('x-autoglm-replica') ?? '';
}

async function shares(gateway: RunningGateway, requests: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < requests; turn++) {
    const replica = await replicaOf(ask(gateway));
    counts[replica] = (counts[replica] ?? 0) + 1;
  }
  return counts;
}

const keyNamed = (name: string, more: Partial<GatewaySettings['keys'][number]> = {}) => ({
  name,
  sha256: createHash('sha256').update(`key-of-${name}`).digest('hex'),
  ...more,
});
const as = (name: string) => ({ authorization: `Bearer key-of-${name}` });

describe('strategies', () => {
  it('round-robin shares requests out by the weights of replicas', async () => {
    const { gateway } = await setUp([{ weight: 1 }, { weight: 3 }], { strategy: 'round-robin' });
    const counts = await shares(gateway, 80);
    // Each of the two workers keeps its own rotation: at most one request each away from 20 and 60.
    expect(counts['demo/1']).toBeGreaterThanOrEqual(57);
    expect(counts['demo/1']).toBeLessThanOrEqual(63);
  });

  it('dynamic-weighted follows load and memory of the GPUs, also when they change', async () => {
    const exporters = await Promise.all([startGpuExporter(), startGpuExporter()]);
    for (const exporter of exporters) cleanups.push(exporter.close);
    const { gateway } = await setUp(
      exporters.map(({ url }) => ({ gpuMetricsUrl: url })),
      { strategy: 'dynamic-weighted' },
    );
    // 1 / (0.6 · 0.5 + 0.4 · 0.5) = 2 against 1 / (0.6 · 0.25 + 0.4 · 0.25) = 4.
    const settle = async (wanted: { gpuLoad: number; memoryUsage: number }[]) => {
      for (const [index, gauges] of wanted.entries()) exporters[index]!.gauges = gauges;
      const read = exporters.map((exporter) => exporter.reads + 1);
      await eventually(() => exporters.every((exporter, index) => exporter.reads > read[index]!), 15_000);
    };
    await settle([
      { gpuLoad: 0.5, memoryUsage: 0.5 },
      { gpuLoad: 0.25, memoryUsage: 0.25 },
    ]);
    const before = await shares(gateway, 60);
    expect(Math.abs((before['demo/1'] ?? 0) - 40)).toBeLessThanOrEqual(3);
    await settle([
      { gpuLoad: 0.25, memoryUsage: 0.25 },
      { gpuLoad: 0.5, memoryUsage: 0.5 },
    ]);
    const after = await shares(gateway, 60);
    expect(Math.abs((after['demo/0'] ?? 0) - 40)).toBeLessThanOrEqual(3);
  });

  it.each([
    ['the header x-session-id', (name: string) => ({ headers: { 'x-session-id': name } })],
    ['prompt_cache_key', (name: string) => ({ body: { prompt_cache_key: name } })],
    ['user', (name: string) => ({ body: { user: name } })],
  ])('session keeps a conversation on one replica, by %s', async (_, named) => {
    const { gateway } = await setUp([{}, {}, {}, {}], { strategy: 'session' });
    const seen = new Set<string>();
    for (const name of ['anna', 'ben', 'carla', 'dora', 'emil', 'fritz', 'gerd', 'hanna']) {
      const replicas = new Set<string>();
      for (let turn = 0; turn < 4; turn++) replicas.add(await replicaOf(ask(gateway, named(name))));
      expect(replicas.size).toBe(1);
      for (const replica of replicas) seen.add(replica);
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  it('prefix-cache sends a prompt where its beginning was seen, whichever worker has the connection', async () => {
    const { gateway } = await setUp([{}, {}, {}, {}], { strategy: 'prefix-cache', workers: 3 });
    const homes = new Set<string>();
    for (const topic of ['apples', 'boats', 'clouds', 'doors', 'eagles', 'fields']) {
      const system = `You know all about ${topic}. `.repeat(60);
      const replicas = new Set<string>();
      for (let turn = 0; turn < 5; turn++) {
        replicas.add(await replicaOf(ask(gateway, { text: `${system} Question ${turn}?` })));
      }
      expect(replicas.size).toBe(1);
      for (const replica of replicas) homes.add(replica);
    }
    expect(homes.size).toBeGreaterThan(1);
  });
});

describe('the queue', () => {
  const slow = { window: 1 };

  it('serves high before normal before low, and lets no key ask for more than it has', async () => {
    const keys = [
      keyNamed('ops', { priority: 'high' }),
      keyNamed('app'),
      keyNamed('night', { priority: 'low' }),
    ];
    const { gateway, engines } = await setUp([slow], { keys, workers: 1, queueSizeMax: 100 });
    engines[0]!.base = { quietMs: 1_500 };
    const first = ask(gateway, { headers: as('app') });
    await eventually(() => engines[0]!.inFlight === 1);
    engines[0]!.base = { quietMs: 5 };
    const order: string[] = [];
    const wait = async (name: string, more: Record<string, string> = {}) => {
      await (await ask(gateway, { headers: { ...as(name), ...more } })).text();
      order.push(name);
    };
    const waits: Promise<unknown>[] = [];
    for (const name of ['night', 'app', 'ops']) {
      waits.push(wait(name, { 'x-autoglm-priority': 'high' }));
      await eventually(async () => (await gateway.report()).queued === waits.length);
    }
    await Promise.all([first.then((answer) => answer.text()), ...waits]);
    expect(order).toEqual(['ops', 'app', 'night']);
  });

  it.each([
    1, 2,
  ])('gives two keys that both have more than fits their tokens by weight, over %i workers', async (workers) => {
    const keys = [keyNamed('one', { weight: 1 }), keyNamed('three', { weight: 3 })];
    const { gateway, engines } = await setUp([{ window: 4, script: { quietMs: 5 } }], {
      keys,
      workers,
      queueSizeMax: 400,
    });
    let open = true;
    // The engine counts tokens: answers of the one are short, of the other long.
    const tokens = { one: 3, three: 9 };
    const clients = (['one', 'three'] as const).flatMap((name) =>
      Array.from({ length: 60 }, async () => {
        while (open) {
          const body = { max_tokens: tokens[name] };
          await (await ask(gateway, { headers: as(name), body })).text();
        }
      }),
    );
    const lines = () => gateway.log().filter(({ outcome }) => outcome === 'completed');
    const served = (name: string) =>
      lines()
        .filter(({ key }) => key === name)
        .reduce((sum, line) => sum + Number(line.prompt_tokens) + Number(line.completion_tokens), 0);
    // Only while both have requests waiting does the weight count.
    await eventually(() => engines[0]!.seen.length > 200, 30_000);
    const before = { one: served('one'), three: served('three') };
    await eventually(() => engines[0]!.seen.length > 1_200, 60_000);
    const ratio = (served('three') - before.three) / (served('one') - before.one);
    open = false;
    await Promise.all(clients);
    console.log(`served tokens for weights 3 : 1, ${workers} workers: ${ratio.toFixed(2)} : 1`);
    // With two, a thread that gets no processor for a moment has all clients of a key wait in the other one.
    expect(Math.abs(ratio - 3)).toBeLessThan(workers === 1 ? 0.3 : 0.75);
  });

  it('has a key that asks for little wait for next to nothing while another floods, over 2 workers', async () => {
    const keys = [keyNamed('quiet'), keyNamed('loud')];
    const { gateway } = await setUp([{ window: 16, script: { quietMs: 50 } }], {
      keys,
      queueSizeMax: 1_000,
      queueTimeoutMs: 60_000,
    });
    let open = true;
    const client = async (name: string) => {
      while (open) await (await ask(gateway, { headers: as(name) })).text();
    };
    const clients = Array.from({ length: 160 }, () => client('loud'));
    await eventually(async () => (await gateway.report()).queued > 100, 30_000);
    const from = gateway.log().length;
    clients.push(...Array.from({ length: 3 }, () => client('quiet')));
    const waits = (name: string) =>
      gateway
        .log()
        .slice(from)
        .filter(({ key, outcome }) => key === name && outcome === 'completed')
        .map((line) => Number(line.queue_ms));
    await eventually(() => waits('quiet').length >= 100, 60_000);
    open = false;
    await Promise.all(clients);
    const of = (name: string, p: number) => percentile(waits(name), p);
    console.log(
      `in the queue: quiet key p50 ${of('quiet', 50)} ms, p99 ${of('quiet', 99)} ms; the one that floods p50 ${of('loud', 50)} ms`,
    );
    // Against each other in one run: a machine that is busy makes both wait. What it is in itself is told in virtual time.
    expect(of('quiet', 50)).toBeLessThan(of('loud', 50) / 5);
    expect(of('quiet', 95)).toBeLessThan(of('loud', 50));
  });

  it('refuses from 80 % on, and says when to come back', async () => {
    const { gateway, engines } = await setUp([{ window: 1, script: { hang: true } }], {
      workers: 1,
      queueSizeMax: 10,
    });
    for (let waiting = 0; waiting <= 8; waiting++) {
      ask(gateway).catch(() => {});
      await eventually(async () => {
        const { inFlight } = await gateway.report();
        return inFlight === waiting + 1;
      });
    }
    expect((await gateway.report()).queued).toBe(8);
    expect(engines[0]!.inFlight).toBe(1);
    const refused = await ask(gateway);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({
      error: { message: expect.stringContaining('nearly full: 8 of 10') },
    });
  });
});

describe('the breaker', () => {
  it('leaves a replica out that fails again and again, and takes it back after one request that went well', async () => {
    const { gateway, engines } = await setUp([{ script: { status: 500, body: '{}' } }, {}], {
      breakerFailures: 5,
      strategy: 'round-robin',
    });
    const seenNow = () => engines[0]!.seen.length;
    const someRequests = async () => {
      const replicas = new Set<string>();
      for (let turn = 0; turn < 6; turn++) replicas.add(await replicaOf(ask(gateway)));
      return replicas;
    };
    await eventually(async () => {
      const before = seenNow();
      await someRequests();
      return seenNow() === before;
    }, 20_000);
    engines[0]!.base = {};
    await eventually(async () => (await someRequests()).size === 2, 30_000);
  });
});

describe('explanations', () => {
  it('say why a request went where it went', async () => {
    const { gateway } = await setUp([{}, {}], { strategy: 'power-of-two' });
    const answer = await ask(gateway, { headers: { 'x-autoglm-explain': '1' } });
    await answer.text();
    const explanation = JSON.parse(answer.headers.get('x-autoglm-explain') ?? '');
    expect(explanation).toMatchObject({
      strategy: 'power-of-two',
      verdict: 'picked',
      picked: answer.headers.get('x-autoglm-replica'),
      candidates: [{ replica: 'demo/0' }, { replica: 'demo/1' }],
    });
    const now = await fetch(`${gateway.url}/autoglm/scheduling/demo`);
    expect(await now.json()).toMatchObject({ strategy: 'power-of-two', waiting: 0 });
  });

  it('are for keys that may see them', async () => {
    const keys = [keyNamed('ops', { explain: true }), keyNamed('app')];
    const { gateway } = await setUp([{}], { keys });
    const seen = async (name: string) => {
      const answer = await ask(gateway, { headers: { ...as(name), 'x-autoglm-explain': '1' } });
      await answer.text();
      return answer.headers.get('x-autoglm-explain');
    };
    expect(await seen('ops')).toContain('"picked":"demo/0"');
    expect(await seen('app')).toContain('may not');
    const refused = await fetch(`${gateway.url}/autoglm/scheduling/demo`, { headers: as('app') });
    expect(refused.status).toBe(403);
  });
});
