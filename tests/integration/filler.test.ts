/**
 * Requests that may wait, seen from outside: they take places that clients leave free, and clients never wait for them but
 * where a replica is full. Method: a real gateway on scripted engines whose answers the test holds back.
 */
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { GatewaySettings } from '../../src/contract/gateway-snapshot.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const KEY = 'the key of the runner';
const CLIENT_KEY = 'sk-client-0123456789';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(
  { window, paceMs = 0, hang = false }: { window: number; paceMs?: number; hang?: boolean },
  settings: Partial<GatewaySettings> = {},
): Promise<{ engine: ScriptedEngine; gateway: RunningGateway }> {
  const engine = await startScriptedEngine({ paceMs, hang });
  cleanups.push(() => engine.close());
  const gateway = await startGateway([poolOf('demo', [{ url: engine.url, window }])], {
    workers: 2,
    fillerKeySha256: sha256(KEY),
    keys: [{ name: 'client', sha256: sha256(CLIENT_KEY) }],
    ...settings,
  });
  cleanups.push(() => gateway.stop());
  return { engine, gateway };
}

function send(
  gateway: RunningGateway,
  headers: Record<string, string>,
  body: object = {},
): Promise<Response> {
  return fetch(`${gateway.v1}/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify({
      model: 'demo',
      stream: true,
      messages: [{ role: 'user', content: 'Hi' }],
      ...body,
    }),
  });
}
const asClient = { authorization: `Bearer ${CLIENT_KEY}` };
const asFiller = { 'x-autoglm-filler-key': KEY, 'x-autoglm-filler-owner': encodeURIComponent('häns') };
const text = async (answer: Promise<Response>) => (await answer).text();

describe('filler', () => {
  it('is answered like any request, logged under its owner, and refused with any other key', async () => {
    const { gateway } = await setUp({ window: 4 });
    expect(await text(send(gateway, asFiller))).toContain('[DONE]');
    await eventually(() => gateway.log().length === 1);
    expect(gateway.log()[0]).toMatchObject({ key: 'häns', filler: true, outcome: 'completed' });
    expect((await send(gateway, { ...asFiller, 'x-autoglm-filler-key': 'guess' })).status).toBe(401);
    // A key of a client makes up for nothing.
    expect((await send(gateway, { ...asClient, 'x-autoglm-filler-key': 'guess' })).status).toBe(401);
  });

  it('is nothing that anybody may send where no runner is known', async () => {
    const { gateway } = await setUp({ window: 4 }, { fillerKeySha256: null, keys: [] });
    expect((await send(gateway, asFiller)).status).toBe(401);
  });

  it('fills only its share of an idle replica, and all of it is answered in the end', async () => {
    const { engine, gateway } = await setUp({ window: 8, paceMs: 3 });
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, engine.inFlight);
    }, 1);
    const answers = await Promise.all(Array.from({ length: 40 }, () => text(send(gateway, asFiller))));
    clearInterval(watch);
    expect(answers.every((answer) => answer.includes('[DONE]'))).toBe(true);
    // Two workers may take the last place at the same moment.
    expect(most).toBeLessThanOrEqual(5);
    expect(most).toBeGreaterThanOrEqual(3);
  });

  it('waits, however much of it there is, where clients are refused; and takes no place in their queue', async () => {
    const { gateway } = await setUp({ window: 1, paceMs: 2 }, { queueSizeMax: 1, queueTimeoutMs: 20_000 });
    const filler = Array.from({ length: 60 }, () => send(gateway, asFiller));
    const clients = Array.from({ length: 2 }, () => send(gateway, asClient));
    const statuses = await Promise.all(
      [...filler, ...clients].map(async (answer) => {
        await (await answer).text();
        return (await answer).status;
      }),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });

  it('lets every client go first: one that comes later waits at most for a line that runs', async () => {
    const { engine, gateway } = await setUp({ window: 1, paceMs: 4 });
    const filler = Array.from({ length: 20 }, () => text(send(gateway, asFiller, { user: 'filler' })));
    await eventually(() => engine.seen.length > 0);
    const clients = Array.from({ length: 5 }, () => text(send(gateway, asClient, { user: 'client' })));
    await Promise.all(clients);
    const order = engine.seen.map(({ body }) => body.user);
    const last = order.lastIndexOf('client');
    // Lines that ran before the clients were seen, then the clients without a line in between.
    expect(order.slice(order.indexOf('client'), last + 1)).toEqual(Array(5).fill('client'));
    expect(order.indexOf('client')).toBeLessThanOrEqual(3);
    await Promise.all(filler);
  });

  it('leaves the queue when its sender goes', async () => {
    const { engine, gateway } = await setUp({ window: 1, hang: true });
    const held = send(gateway, asClient).catch(() => null);
    await eventually(() => engine.seen.length === 1);
    const leaver = new AbortController();
    const waiting = fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      headers: asFiller,
      body: JSON.stringify({ model: 'demo', messages: [] }),
      signal: leaver.signal,
    }).catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, 100));
    leaver.abort();
    await waiting;
    await eventually(() =>
      gateway.log().some(({ filler, outcome }) => filler && outcome === 'cancelled-by-client'),
    );
    expect(engine.seen).toHaveLength(1);
    await gateway.stop();
    await held;
  });

  it('does not keep a gateway from ending: what waits is told to go elsewhere', async () => {
    const { engine, gateway } = await setUp({ window: 1, paceMs: 100 }, { drainTimeoutMs: 20_000 });
    const running = text(send(gateway, asClient));
    await eventually(() => engine.seen.length === 1);
    const waiting = Array.from({ length: 4 }, () => send(gateway, asFiller));
    await new Promise((resolve) => setTimeout(resolve, 100));
    gateway.process.kill('SIGTERM');
    for (const answer of await Promise.all(waiting)) {
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ error: { code: 'shutting_down' } });
    }
    expect(await running).toContain('[DONE]');
    await eventually(() => gateway.process.exitCode === 0);
  });

  it('says that a model is unknown at once', async () => {
    const { gateway } = await setUp({ window: 1 });
    expect((await send(gateway, asFiller, { model: 'nobody' })).status).toBe(404);
  });
});
