/** The response cache in a whole system: from the configuration file to answers, over crashes of engines and changes of models. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/gateway-under-test.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

let system: SystemUnderTest;

beforeAll(async () => {
  system = await startSystem({ cache: { mode: 'always' }, models: [simulatorPool('steady', 1)] });
});

afterAll(() => system.stop());

async function ask(model: string): Promise<string | null> {
  const response = await fetch(`${system.v1()}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      temperature: 0,
      max_tokens: 20,
      messages: [{ role: 'user', content: 'hi' }],
    }),
  });
  await response.arrayBuffer();
  expect(response.status).toBe(200);
  return response.headers.get('x-autoglm-cache');
}

const isReady = (name: string, generation = 1) =>
  system.until(({ pools }) => {
    const pool = pools.find(({ model }) => model === name);
    return pool?.ready === 1 && (pool.replicas[0]?.generation ?? 0) >= generation;
  });

describe('response cache of a whole system', () => {
  it('outlives the engine that made the answers', async () => {
    expect([await ask('steady'), await ask('steady')]).toEqual(['miss', 'hit']);
    const { pools } = await system.status();
    killQuietly(pools[0]?.replicas[0]?.pid as number);
    await isReady('steady', 2);
    expect(await ask('steady')).toBe('hit');
  });

  it('does not outlive the model', async () => {
    const load = (max_seq_length: number) =>
      system.post('/api/v1/models', { model_name: 'second', engine: 'simulator', max_seq_length });
    const unload = async () => {
      await fetch(`${system.adminUrl()}/api/v1/models/second`, {
        method: 'DELETE',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      await system.until(({ pools }) => !pools.some(({ model }) => model === 'second'));
    };
    await load(4096);
    await isReady('second');
    await eventually(async () => (await ask('second')) === 'hit');
    await unload();
    await load(2048);
    await isReady('second');
    expect(await ask('second')).toBe('miss');
    await unload();
    // What comes back as it was finds what it said.
    await load(4096);
    await isReady('second');
    expect(await ask('second')).toBe('hit');
  });
});
