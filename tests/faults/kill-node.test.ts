/**
 * Goal: the processes that decide may die at any time; the processes that serve do not notice. Method: the whole system
 * under load; node process and launcher killed with SIGKILL; every request counted, pids compared before and after.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type LoadOptions, type LoadResult, runLoad } from '../../bench/load-client.ts';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import { eventually } from '../support/gateway-under-test.ts';
import {
  isAlive,
  killQuietly,
  type SystemUnderTest,
  simulatorPool,
  startSystem,
} from '../support/system-under-test.ts';

let system: SystemUnderTest | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
});

function load(
  requests: number,
  concurrency: number,
  more: Pick<LoadOptions, 'onProgress' | 'enough'> = {},
): Promise<LoadResult> {
  return runLoad({
    ...more,
    url: `${system?.v1()}/chat/completions`,
    requests,
    concurrency,
    stream: true,
    body: (index) => ({
      model: 'sim',
      temperature: 0,
      max_tokens: 60,
      messages: [{ role: 'user', content: `Question ${index}` }],
    }),
  });
}

function servingPids({ gateways, pools }: SystemStatus): number[] {
  return [
    ...gateways.map(({ pid }) => pid),
    ...pools.flatMap(({ replicas }) => replicas.map(({ pid }) => pid ?? 0)),
  ].sort((a, b) => a - b);
}

/** A node process that has just come back knows its pools before it knows their replicas. */
const allReady = ({ pools }: SystemStatus) => pools.every(({ ready, total }) => total > 0 && ready === total);

describe('the node process, killed with SIGKILL under load', () => {
  it('comes back, adopts gateway and engines with the same pids, and supervises on; no request fails', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)], supervisor: { backoff_initial_ms: 50 } });
    const before = await system.status();
    let reads = 0;
    const enough = new AbortController();
    const running = load(Number.POSITIVE_INFINITY, 64, {
      enough: enough.signal,
      onProgress: () => reads++,
    });
    const killAndReturn = async () => {
      let pid = before.node.pid;
      for (let turn = 0; turn < 3; turn++) {
        const readsBefore = reads;
        await eventually(() => reads > readsBefore + 500, 20_000);
        killQuietly(pid);
        const killed = pid;
        pid =
          (await system?.until((status) => status.node.pid !== killed && allReady(status)))?.node.pid ?? 0;
      }
    };
    const [result] = await Promise.all([running, killAndReturn().finally(() => enough.abort())]);
    expect(result.records.filter(({ error }) => error !== null).map(({ error }) => error)).toEqual([]);
    const after = await system.status();
    expect(servingPids(after)).toEqual(servingPids(before));
    expect(after.node.adoptedEngines).toBe(2);

    // It supervises on: an adopted engine that dies is started again.
    const [victim] = after.pools[0]?.replicas ?? [];
    killQuietly(victim?.pid ?? 0);
    await system.until((status) => allReady(status) && status.pools[0]?.replicas[0]?.pid !== victim?.pid);
  });

  it('is not missed when the launcher is killed too, and the next serve adopts all', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const before = await system.status();
    killQuietly(system.launcher.pid ?? 0);
    killQuietly(before.node.pid);
    await eventually(() => !isAlive(before.node.pid));
    const orphaned = await load(100, 32);
    expect(orphaned.records.filter(({ error }) => error !== null)).toEqual([]);
    const running = load(200, 32);
    await system.serve();
    const result = await running;
    expect(result.records.filter(({ error }) => error !== null)).toEqual([]);
    expect(servingPids(await system.status())).toEqual(servingPids(before));
  });

  it('is watched by the next serve when only the launcher was killed', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 1)] });
    const before = await system.status();
    killQuietly(system.launcher.pid ?? 0);
    await eventually(() => !isAlive(system?.launcher.pid ?? 0));
    expect((await system.status()).node.pid).toBe(before.node.pid);
    await system.serve();
    expect((await system.status()).node.pid).toBe(before.node.pid);
    killQuietly(before.node.pid);
    await system.until((status) => status.node.pid !== before.node.pid && allReady(status));
  });
});

describe('a node process that finds its state directory emptied', () => {
  it('replaces engines whose address nobody knows any more, and serves again', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const before = await system.status();
    rmSync(join(system.stateDir, 'engines'), { recursive: true, force: true });
    killQuietly(before.node.pid);
    const after = await system.until(
      (status) => status.node.pid !== before.node.pid && allReady(status),
      30_000,
    );
    const old = before.pools[0]?.replicas.map(({ pid }) => pid ?? 0) ?? [];
    await eventually(() => old.every((pid) => !isAlive(pid)), 20_000);
    expect(after.pools[0]?.ready).toBe(2);
  });
});

describe('an engine that ends unasked', () => {
  it('is started again also after status 0', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)], supervisor: { backoff_initial_ms: 50 } });
    const before = await system.status();
    const running = load(100, 16);
    const fault = { action: 'exit', code: 0, when: { afterMs: 100 } };
    await fetch(`${before.pools[0]?.replicas[0]?.url}/simulator/faults`, {
      method: 'POST',
      body: JSON.stringify(fault),
    });
    const result = await running;
    expect(result.records.filter(({ error }) => error !== null)).toEqual([]);
    const status = await system.until(
      (found) => allReady(found) && (found.pools[0]?.replicas ?? []).some(({ restarts }) => restarts > 0),
    );
    expect(servingPids(status)).not.toEqual(servingPids(before));
    const incidents = status.pools[0]?.replicas
      .map(({ lastIncident }) => lastIncident?.summary ?? '')
      .join('; ');
    expect(incidents).toMatch(/status 0|code 0/);
  });

  it('is quarantined with a readable reason when it happens again and again; others serve on', async () => {
    system = await startSystem({
      models: [simulatorPool('sim', 1), simulatorPool('loop', 1)],
      supervisor: { backoff_initial_ms: 20, backoff_max_ms: 50, restarts_max: 3 },
    });
    for (let turn = 0; turn < 4; turn++) {
      const status = await system.until(({ pools }) => {
        const state = pools[1]?.replicas[0]?.state;
        return state === 'ready' || state === 'quarantined';
      });
      const [replica] = status.pools[1]?.replicas ?? [];
      if (replica?.state === 'quarantined') break;
      killQuietly(replica?.pid ?? 0);
      await system.until(
        ({ pools }) =>
          pools[1]?.replicas[0]?.pid !== replica?.pid || pools[1]?.replicas[0]?.state === 'quarantined',
      );
    }
    const status = await system.until(({ pools }) => pools[1]?.replicas[0]?.state === 'quarantined');
    expect(status.pools[1]?.replicas[0]?.reason).toMatch(/SIGKILL/);
    expect(status.pools[1]?.replicas[0]?.reason).toMatch(/\b[34]\b.*times|times.*\b[34]\b/);
    const result = await load(10, 5);
    expect(result.records.filter(({ error }) => error !== null)).toEqual([]);
    const refused = await fetch(`${system.v1()}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'loop', messages: [] }),
    });
    expect(refused.status).toBe(503);

    // A person may let it out.
    await system.post('/api/v1/replicas/loop/0/restart');
    await system.until(allReady);
  });
});

describe('everything, stopped by one signal', () => {
  it('drains and leaves no process behind', async () => {
    system = await startSystem({ models: [simulatorPool('sim', 2)] });
    const pids = [
      ...servingPids(await system.status()),
      (await system.status()).node.pid,
      system.launcher.pid ?? 0,
    ];
    const begun = new Set<number>();
    const running = load(16, 16, { onProgress: (index) => begun.add(index) });
    await eventually(() => begun.size === 16);
    system.launcher.kill('SIGINT');
    const result = await running;
    expect(result.records.filter(({ error }) => error !== null)).toEqual([]);
    await eventually(() => pids.every((pid) => !isAlive(pid)), 20_000);
    expect(system.processes()).toEqual([]);
  });
});
