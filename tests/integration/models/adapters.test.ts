/**
 * LoRA adapters that come and go while everything runs: whole systems with simulated engines and traffic that must not notice.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  change,
  chat,
  contentOf,
  isReady,
  models,
  mustChange,
  openStream,
  pidsOf,
  poolOf,
} from '../../support/changing-models.ts';
import { startTraffic } from '../../support/steady-traffic.ts';
import {
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../../support/system-under-test.ts';

let system: SystemUnderTest;

afterEach(async () => {
  await system.stop();
});

describe('LoRA adapters', () => {
  /** Where adapters lie; the simulator looks only whether they are there. */
  let adapters: string;
  beforeAll(() => {
    adapters = mkdtempSync(join(tmpdir(), 'autoglm-adapters-'));
  });
  afterAll(() => rmSync(adapters, { recursive: true, force: true }));

  function adapterPath(name: string): string {
    const path = join(adapters, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  it('are models of their own, with a parent, another text, and the same one on every replica', async () => {
    const lora_adapters = [{ name: 'sql', path: adapterPath('sql') }];
    system = await startSystem({ models: [{ ...simulatorPool('base', 2), lora_adapters }] });
    await adaptersReady('base', { sql: 2 });
    const { data } = (await (await fetch(`${system.v1()}/models`)).json()) as { data: object[] };
    expect(data).toMatchObject([{ id: 'base' }, { id: 'sql', parent: 'base' }]);
    const own = await chat(system, 'base');
    const texts = await Promise.all(Array.from({ length: 6 }, () => chat(system, 'sql')));
    expect(new Set(texts.map(({ text }) => text)).size).toBe(1);
    expect(texts[0]?.text).not.toBe(own.text);
    expect(await chat(system, 'sqll')).toMatchObject({ status: 404, error: { code: 'model_not_found' } });
  });

  it('survive the death of an engine in the middle of a stream, and are loaded again before it is asked for them', async () => {
    const lora_adapters = [{ name: 'sql', path: adapterPath('sql') }];
    system = await startSystem({ models: [{ ...simulatorPool('base', 2), lora_adapters }] });
    await mustChange(system, 'PUT', '/base/adapters/late', { path: adapterPath('late') });
    await adaptersReady('base', { sql: 2, late: 2 });
    const undisturbed = await openStream(system, 'late', 150).whole;
    const traffic = startTraffic({ v1: system.v1(), model: 'late' });
    for (let turn = 0; turn < 3; turn++) {
      const stream = openStream(system, 'late', 150);
      await stream.begun;
      const status = await system.until((found) =>
        (poolOf(found, 'base')?.replicas ?? []).some(({ inFlight }) => inFlight > 0),
      );
      const victims = poolOf(status, 'base')?.replicas ?? [];
      const [busiest] = victims.toSorted((a, b) => b.inFlight - a.inFlight);
      killQuietly(busiest?.pid ?? 0);
      expect(contentOf((await stream.whole).text)).toBe(contentOf(undisturbed.text));
      await system.until(isReady('base', 2));
      await adaptersReady('base', { sql: 2, late: 2 });
    }
    await traffic.progress(10);
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
  });

  it('come and go while everything runs, and say why they do not come', async () => {
    system = await startSystem({
      models: [{ ...simulatorPool('base', 2), lora_adapters: [{ name: 'sql', path: adapterPath('sql') }] }],
    });
    await adaptersReady('base', { sql: 2 });
    const before = pidsOf(await system.status(), 'base');
    const traffic = startTraffic({ v1: system.v1(), model: 'base' });
    await mustChange(system, 'PUT', '/base/adapters/extra', { path: adapterPath('extra') });
    await adaptersReady('base', { sql: 2, extra: 2 });
    expect((await chat(system, 'extra')).status).toBe(200);
    await mustChange(system, 'PUT', '/base/adapters/gone', { path: '/no/such/adapter' });
    await eventuallyAsync(async () => {
      const [base] = (await models(system)).models;
      return base?.adapters
        .find(({ name }) => name === 'gone')
        ?.problem?.includes('No adapter found for /no/such/adapter');
    });
    const refused = await chat(system, 'gone');
    expect(refused).toMatchObject({
      status: 503,
      error: { message: expect.stringContaining('could not load it') },
    });
    expect((await change(system, 'DELETE', '/base/adapters/sql')).answer.error?.message).toContain(
      'remove it there',
    );
    await mustChange(system, 'DELETE', '/base/adapters/gone');
    await mustChange(system, 'DELETE', '/base/adapters/extra');
    expect((await chat(system, 'extra')).status).toBe(404);
    await eventuallyAsync(async () => {
      const lists = await Promise.all(
        (await engineUrls()).map(async (url) => (await fetch(`${url}/v1/models`)).text()),
      );
      return lists.every((list) => !list.includes('extra'));
    });
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    expect(pidsOf(await system.status(), 'base')).toEqual(before);
  });

  async function engineUrls(): Promise<string[]> {
    return (poolOf(await system.status(), 'base')?.replicas ?? []).flatMap(({ url }) => url ?? []);
  }

  async function adaptersReady(model: string, wanted: Record<string, number>): Promise<void> {
    await eventuallyAsync(async () => {
      const found = (await models(system)).models.find((one) => one.model === model);
      const ready = Object.fromEntries((found?.adapters ?? []).map((one) => [one.name, one.ready]));
      return JSON.stringify(ready) === JSON.stringify(wanted);
    });
  }
});

async function eventuallyAsync(holds: () => Promise<boolean | undefined>): Promise<void> {
  const endMs = performance.now() + 20_000;
  while ((await holds()) !== true) {
    if (performance.now() > endMs)
      throw new Error(`not so within 20 s: ${holds}; ${JSON.stringify(await models(system))}`);
    await new Promise((wake) => setTimeout(wake, 25));
  }
}
