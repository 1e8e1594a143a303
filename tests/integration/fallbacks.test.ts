/** A model that can not serve hands its requests to the models that the configuration names, before the first token only. */
import { afterEach, describe, expect, it } from 'vitest';
import type { PoolView } from '../../src/contract/fleet.ts';
import { poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function engine(...args: Parameters<typeof startScriptedEngine>): Promise<ScriptedEngine> {
  const started = await startScriptedEngine(...args);
  cleanups.push(() => started.close());
  return started;
}

async function gatewayOn(pools: PoolView[]): Promise<RunningGateway> {
  const gateway = await startGateway(pools, { retryAttemptsMax: 1, queueTimeoutMs: 300 });
  cleanups.push(() => gateway.stop());
  return gateway;
}

const falling = (pool: PoolView, ...fallbacks: string[]): PoolView => ({ ...pool, fallbacks });
const DEAD = 'http://127.0.0.1:9';

function ask(gateway: RunningGateway, model: string, stream = false): Promise<Response> {
  return fetch(`${gateway.v1}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'Hi' }] }),
  });
}

describe('fallbacks', () => {
  it.each([
    ['has no replica that may come back', { url: DEAD, state: 'quarantined' as const }],
    ['has only engines that refuse connections', { url: DEAD }],
    ['never becomes ready in time', { url: DEAD, state: 'starting' as const }],
  ])('serve when the model %s', async (_name, replica) => {
    const standby = await engine({});
    const gateway = await gatewayOn([
      falling(poolOf('big', [replica]), 'small'),
      poolOf('small', [{ url: standby.url }]),
    ]);
    const answer = await ask(gateway, 'big');
    expect([answer.status, answer.headers.get('x-autoglm-fallback')]).toEqual([200, 'small']);
    const streamed = await ask(gateway, 'big', true);
    expect(await streamed.text()).toContain('[DONE]');
    expect(streamed.headers.get('x-autoglm-fallback')).toBe('small');
  });

  it('may have names that no header can hold', async () => {
    const standby = await engine({});
    const gateway = await gatewayOn([
      falling(poolOf('大模型', [{ url: DEAD }]), '小模型'),
      poolOf('小模型', [{ url: standby.url }]),
    ]);
    for (const stream of [false, true]) {
      const answer = await ask(gateway, '大模型', stream);
      expect([answer.status, answer.headers.get('x-autoglm-fallback')]).toEqual([
        200,
        encodeURIComponent('小模型'),
      ]);
      expect(answer.headers.get('x-autoglm-replica')).toContain(encodeURIComponent('小模型'));
      await answer.text();
    }
    expect((await ask(gateway, '没有')).status).toBe(404);
  });

  it('are asked in their order, and the last failure is the answer when none can serve', async () => {
    const last = await engine({});
    const dead = poolOf('b', [{ url: DEAD }]);
    const gateway = await gatewayOn([
      falling(poolOf('a', [{ url: DEAD }]), 'b', 'c'),
      dead,
      poolOf('c', [{ url: last.url }]),
      falling(poolOf('lost', [{ url: DEAD }]), 'b'),
    ]);
    expect((await ask(gateway, 'a')).headers.get('x-autoglm-fallback')).toBe('c');
    const lost = await ask(gateway, 'lost');
    expect(lost.status).toBe(503);
    expect(await lost.json()).toMatchObject({ error: { code: 'no_replica' } });
  });

  it("are not asked for what is the caller's own fault", async () => {
    const strict = await engine({ status: 400, body: '{"error":{"message":"no"}}' });
    const other = await engine({});
    const gateway = await gatewayOn([
      falling(poolOf('big', [{ url: strict.url }]), 'small'),
      poolOf('small', [{ url: other.url }]),
    ]);
    const answer = await ask(gateway, 'big');
    expect([answer.status, answer.headers.get('x-autoglm-fallback')]).toEqual([400, null]);
  });

  it('may be adapters, which the engine is asked for by its own name, and are passed over when they are gone', async () => {
    const base = await engine({});
    const pool = poolOf('base', [{ url: base.url }]);
    const adapters = [{ name: 'sql', servedModel: 'base:sql', fields: { lora: 1 } }];
    const gateway = await gatewayOn([
      falling(poolOf('big', [{ url: DEAD }]), 'unloaded', 'sql'),
      { ...pool, adapters: ['sql'], replicas: pool.replicas.map((view) => ({ ...view, adapters })) },
    ]);
    const answer = await ask(gateway, 'big');
    expect([answer.status, answer.headers.get('x-autoglm-fallback')]).toEqual([200, 'sql']);
    expect(base.seen.at(-1)?.body).toMatchObject({ model: 'base:sql', lora: 1 });
  });
});
