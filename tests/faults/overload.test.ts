/**
 * Goal: a gateway that is offered more than its engines can take keeps its promises. Method: a real gateway with two workers in
 * front of scripted engines, and clients that do as they are told, each on a connection of its own. The same over minutes and many
 * seeds, in virtual time: tests/simulation/scheduling/overload.test.ts.
 */
import { Agent, request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type Script, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

/** As a configuration that says nothing of them has them. */
const DEFAULTS: Partial<GatewaySettings> = {
  retryBudgetRatio: 0.2,
  breakerFailures: 5,
  slowStartMs: 10_000,
  ejectionMs: 500,
};

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function engineWith(base: Script): Promise<ScriptedEngine> {
  const engine = await startScriptedEngine(base);
  cleanups.push(() => engine.close());
  return engine;
}

async function gatewayOn(...args: Parameters<typeof startGateway>): Promise<RunningGateway> {
  const gateway = await startGateway(...args);
  cleanups.push(() => gateway.stop());
  return gateway;
}

interface Answer {
  /** 0: none. */
  status: number;
  retryAfterS: number;
}

const pause = (ms: number) => new Promise((wake) => setTimeout(wake, ms));
const fresh = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });

function ask(
  gateway: RunningGateway,
  body: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    const lost = () => resolve({ status: 0, retryAfterS: 0 });
    const sent = request(
      `${gateway.v1}/chat/completions`,
      { method: 'POST', agent: fresh, headers },
      (answer) => {
        answer.resume();
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            retryAfterS: Number(answer.headers['retry-after'] ?? 0),
          }),
        );
        answer.on('error', lost);
      },
    );
    sent.on('error', lost);
    sent.end(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...body }));
  });
}

/** Calls `send` so often a second, for so long. */
async function atRate(perSecond: number, durationMs: number, send: (index: number) => void): Promise<void> {
  const startMs = performance.now();
  for (let sent = 0; performance.now() - startMs < durationMs; ) {
    for (; sent < ((performance.now() - startMs) / 1_000) * perSecond; sent++) send(sent);
    await pause(5);
  }
}

describe('a client that was refused with 429', () => {
  it('is admitted in at least 95 % of cases when it comes back as Retry-After says', async () => {
    const [one, two] = await Promise.all([obeyed(1), obeyed(2)]);
    console.log(`obeyed Retry-After: one worker ${JSON.stringify(one)}, two workers ${JSON.stringify(two)}`);
    expect(one.admitted / one.refused).toBeGreaterThanOrEqual(0.95);
    // A promise is known to the worker that made it; who meets the other one (95 to 98 %) competes with newcomers.
    expect(two.admitted / two.refused).toBeGreaterThanOrEqual(0.9);
  });
});

/** What becomes of clients that are refused and come back as they were told: 100 requests a second fit, and 250 are offered. */
async function obeyed(workers: number) {
  const engine = await engineWith({ quietMs: 40 });
  const gateway = await gatewayOn([poolOf('m', [{ url: engine.url, window: 4 }])], {
    workers,
    queueSizeMax: 60,
    queueTimeoutMs: 30_000,
  });
  const counts = { served: 0, refused: 0, admitted: 0, refusedAgain: 0, lost: 0 };
  const open: Promise<void>[] = [];
  const client = async (user: string) => {
    const first = await ask(gateway, { user });
    if (first.status === 200) counts.served++;
    if (first.status !== 429) return;
    counts.refused++;
    expect(first.retryAfterS).toBeGreaterThanOrEqual(1);
    // SDKs add some; nobody is early.
    await pause(first.retryAfterS * 1_000 * (1 + 0.1 * Math.random()));
    const { status } = await ask(gateway, { user });
    if (status === 200) counts.admitted++;
    else if (status === 429) counts.refusedAgain++;
    else counts.lost++;
  };
  await atRate(250, 2_000, (index) => void open.push(client(`client ${index}`)));
  await Promise.all(open);
  expect(counts.refused).toBeGreaterThan(100);
  return counts;
}

describe('engines that refuse everything', () => {
  it('get at most 1.2 attempts per request, and serve all within 5 s when they are well again', async () => {
    const failing: [string, Script][] = [
      ['busy', { status: 503, headers: { 'retry-after': '1' } }],
      ['broken', { status: 500 }],
    ];
    const pools = await Promise.all(
      failing.map(async ([model, script]) => {
        const engines = await Promise.all(Array.from({ length: 4 }, () => engineWith(script)));
        return { model, engines };
      }),
    );
    const gateway = await gatewayOn(
      pools.map(({ model, engines }) =>
        poolOf(
          model,
          engines.map(({ url }) => ({ url })),
        ),
      ),
      { ...DEFAULTS, workers: 2 },
    );
    let healedAtMs = Number.POSITIVE_INFINITY;
    const offered = { busy: 0, broken: 0 };
    const failedAtMs: Record<string, number> = { busy: 0, broken: 0 };
    let answered = 0;
    const open: Promise<void>[] = [];
    const send = (index: number) => {
      const model = index % 2 === 0 ? 'busy' : 'broken';
      if (healedAtMs === Number.POSITIVE_INFINITY) offered[model]++;
      open.push(
        ask(gateway, { model }).then(({ status }) => {
          if (status !== 200) failedAtMs[model] = performance.now();
          else if (performance.now() > healedAtMs) answered++;
        }),
      );
    };
    await atRate(200, 4_000, send);
    const attempts = pools.map(({ engines }) => engines.reduce((sum, { seen }) => sum + seen.length, 0));
    const perRequest = [attempts[0]! / offered.busy, attempts[1]! / offered.broken];
    for (const { engines } of pools) for (const engine of engines) engine.base = {};
    healedAtMs = performance.now();
    await atRate(200, 6_000, send);
    await Promise.all(open);
    const recovered = Object.entries(failedAtMs).map(
      ([model, atMs]) => `${model} ${Math.max(0, atMs - healedAtMs).toFixed(0)} ms`,
    );
    console.log(
      `attempts per request: 503 ${perRequest[0]!.toFixed(3)}, 500 ${perRequest[1]!.toFixed(3)}; last failure after the engines were well: ${recovered.join(', ')}; ${answered} answered since`,
    );
    // Ten more that calm times have saved up, and one every few seconds whatever was spent.
    const most = (requests: number) => 1.2 + 15 / requests;
    expect(perRequest[0]).toBeLessThanOrEqual(most(offered.busy));
    expect(perRequest[1]).toBeLessThanOrEqual(most(offered.broken));
    expect(answered).toBeGreaterThan(200);
    for (const atMs of Object.values(failedAtMs)) expect(atMs - healedAtMs).toBeLessThan(5_500);
  });
});

describe('2,000 requests that wait for a replica', () => {
  it('are served in turn when it is back, with a slow start, and none that is too late is sent', async () => {
    const [stuck, back] = [await engineWith({ hang: true }), await engineWith({ quietMs: 10 })];
    const poolWith = (generation: number, state: 'starting' | 'ready') => {
      const pool = poolOf('m', [
        { url: stuck.url, window: 1 },
        { url: back.url, window: 64, state },
      ]);
      pool.replicas[1]!.generation = generation;
      return pool;
    };
    const gateway = await gatewayOn([poolWith(1, 'ready')], {
      ...DEFAULTS,
      slowStartMs: 4_000,
      workers: 1,
      queueSizeMax: 4_000,
      queueTimeoutMs: 60_000,
    });
    // As after a crash: its next life loads its model, for nearly as long as a slow start lasts.
    await gateway.publish([poolWith(2, 'starting')]);
    await pause(500);
    void ask(gateway);
    await eventually(() => stuck.inFlight === 1);
    const statuses: number[] = [];
    const late = (index: number) => index % 4 === 3;
    const open: Promise<unknown>[] = [];
    for (let index = 0; index < 2_000; index++) {
      const hints: Record<string, string> = late(index) ? { 'x-stainless-timeout': '3' } : {};
      open.push(
        ask(gateway, { user: String(index) }, hints).then(({ status }) => {
          statuses[index] = status;
        }),
      );
      // In the order of their numbers, as far as connections of their own allow.
      if (index % 100 === 99) await eventually(async () => (await gateway.report()).queued >= index - 520);
    }
    // All that are late have gone.
    await eventually(async () => (await gateway.report()).queued === 1_500, 30_000);
    await gateway.publish([poolWith(2, 'ready')]);
    await eventually(() => back.inFlight > 0);
    const startMs = performance.now();
    let most = 0;
    const watch = setInterval(() => {
      if (performance.now() - startMs < 1_000) most = Math.max(most, back.inFlight);
    }, 5);
    await eventually(() => back.seen.length === 1_500, 30_000);
    clearInterval(watch);
    await gateway.stop();
    await Promise.all(open);
    const order = back.seen.map(({ body }) => Number(body.user));
    expect(order.filter(late)).toEqual([]);
    expect(statuses.filter((_, index) => late(index)).every((status) => status === 408)).toBe(true);
    // Those of one hundred arrive in any order.
    const overtaken = order.filter((index, place) =>
      order.slice(0, place).some((other) => other > index + 200),
    );
    expect(overtaken).toEqual([]);
    console.log(
      `herd: at most ${most} of 64 in flight in the first second; 1,500 served in ${((performance.now() - startMs) / 1_000).toFixed(1)} s`,
    );
    // A tenth at first, and a third after a second of four.
    expect(most).toBeLessThanOrEqual(24);
  });
});
