/**
 * Goal: engines come back while the state directory has no byte left, and a system that is started on such a disk serves.
 * Method: the state directory on a small file system of its own, filled to the last byte before the start or while the system
 * serves; whatever can be killed is killed.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { fill, mayMount, mountSmall } from '../support/full-disk.ts';
import { Installation, signal, until } from '../support/serve-harness.ts';
import { Outage } from '../support/state-outage.ts';

const CONFIG = `gateway: { port: 0 }
admin: { port: 0 }
supervisor: { backoff_initial_ms: 20, restarts_max: 100 }
`;

let installation: AsyncDisposable | undefined;
let disk: Disposable | undefined;
afterEach(async () => {
  disk?.[Symbol.dispose]();
  await installation?.[Symbol.asyncDispose]();
  installation = undefined;
  disk = undefined;
});

describe.skipIf(!mayMount())('a state directory without a free byte (needs the right to mount)', () => {
  it.each([
    ['simulator', 'models: [{ model_name: m, engine: simulator, replicas: 2 }]\n'],
    ['embedded', 'models: [{ model_name: inference-ops-demo, engine: embedded, replicas: 2 }]\n'],
  ])('does not keep a killed engine down (%s)', async (_engine, models) => {
    const here = new Installation(CONFIG + models);
    installation = here;
    disk = mountSmall(here.stateDir, 'size=4m');
    await here.serve().waitFor(/^ready: 2 replicas/m);
    const filler = join(here.stateDir, 'filler');
    fill(filler);
    const before = (await here.statusDirect()).pools[0]?.replicas ?? [];
    for (const { pid } of before) signal(pid as number, 'SIGKILL');
    const after = await until('both are back', async () => {
      const [pool] = (await here.statusDirect()).pools;
      const back = pool?.replicas.every(({ pid }) => !before.some((old) => old.pid === pid));
      return pool?.ready === 2 && back && pool;
    });
    expect(after.replicas.map(({ restarts }) => restarts)).toEqual([1, 1]);

    // A node process that comes now adopts them: their addresses were kept.
    const { pid } = here.record();
    signal(pid, 'SIGKILL');
    rmSync(filler);
    await until('the next node process is there', () => here.record().pid !== pid);
    const adopted = await until('both are adopted', async () => {
      const [pool] = (await here.statusDirect()).pools;
      return pool?.ready === 2 && pool;
    });
    expect(adopted.replicas.map((replica) => replica.pid)).toEqual(
      after.replicas.map((replica) => replica.pid),
    );
  });

  it.each([
    ['a byte', 'size=64k'],
    ['room for a folder or file', 'size=64k,nr_inodes=2'],
  ])('serves from the very first start without %s, and all that is killed comes back', async (_what, options) => {
    const here = await Outage.start();
    installation = here;
    disk = mountSmall(here.stateDir, options);
    fill(join(here.stateDir, 'filler'));
    const launched = await here.serve();
    expect(await here.chat()).toBe(200);
    await here.killEngines();
    await here.killGateway();
    const { gateways, node } = await here.killNode();
    expect(await here.chat()).toBe(200);

    // Nothing says where the node process is but itself.
    signal(launched.child.pid as number, 'SIGKILL');
    const again = here.installation.serve();
    await again.waitFor(/watching over it from here/);
    expect((await here.status()).node.pid).toBe(node.pid);
    expect((await here.status()).gateways.map(({ pid }) => pid)).toEqual(gateways.map(({ pid }) => pid));
    expect(readdirSync(here.stateDir).filter((name) => name.endsWith('.tmp'))).toEqual([]);

    again.child.kill('SIGTERM');
    expect(await again.exited).toBe(0);
    expect(launched.output + again.output).not.toMatch(/^ +at /m);
    await until('nothing is left', () => here.installation.processes().length === 0);
  });
});
