/**
 * What was asked for at run time is there after any death, or was never accepted.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import {
  change,
  everyReady,
  expectNoStrays,
  isReady,
  models,
  mustChange,
  pidsOf,
  poolOf,
} from '../../support/changing-models.ts';
import { eventually } from '../../support/gateway-under-test.ts';
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

describe('what was loaded at run time', () => {
  it('is there again when the node process or the whole system was restarted, until the file takes the name', async () => {
    system = await startSystem({ models: [simulatorPool('base', 1)] });
    await mustChange(system, 'POST', '', { model_name: 'extra', engine: 'simulator', aliases: ['e'] });
    await mustChange(system, 'PATCH', '/base', { replicas: 2 });
    await system.until((status) => isReady('extra', 1)(status) && isReady('base', 2)(status));
    const before = await system.status();

    killQuietly(before.node.pid);
    const after = await system.until(
      (status) => status.node.pid !== before.node.pid && isReady('extra', 1)(status),
    );
    expect(pidsOf(after, 'extra')).toEqual(pidsOf(before, 'extra'));
    expect(poolOf(after, 'extra')).toMatchObject({ source: 'runtime', aliases: ['e'] });

    const ended = new Promise((resolve) => system.launcher.once('exit', resolve));
    system.launcher.kill('SIGTERM');
    await ended;
    // The kernel may take a moment to put an ended process away.
    await eventually(() => system.processes().length === 0);
    await system.serve();
    await system.until((status) => isReady('extra', 1)(status) && isReady('base', 2)(status));

    const config = parse(readFileSync(system.configFile, 'utf8')) as { models: object[] };
    config.models = [{ ...simulatorPool('base', 1), max_batch_size: 9 }, simulatorPool('extra', 2)];
    writeFileSync(system.configFile, stringify(config));
    await system.post('/api/v1/node/restart');
    await system.until((status) => isReady('extra', 2)(status) && isReady('base', 1)(status), 30_000);
    const { notes } = await models(system);
    expect(notes).toEqual([
      expect.stringContaining(
        'has changed model "base" since it was scaled to 2 replicas at run time: the file counts',
      ),
      expect.stringContaining('model "extra" was loaded at run time, and'),
    ]);
    // The alias was given to the name, which the file has now.
    expect(poolOf(await system.status(), 'extra')).toMatchObject({ source: 'file', aliases: ['e'] });
  });

  it('is finished or was never accepted when the node process dies in the middle, and no engine is left over', async () => {
    system = await startSystem({ models: [simulatorPool('base', 1)] });
    for (const delayMs of [0, 2, 10, 40, 150]) {
      const name = `late-${delayMs}`;
      const { node } = await system.status();
      const answer = change(system, 'POST', '', { model_name: name, engine: 'simulator', replicas: 2 }).catch(
        () => null,
      );
      await new Promise((wake) => setTimeout(wake, delayMs));
      killQuietly(node.pid);
      const accepted = await answer;
      const status = await system.until((found) => found.node.pid !== node.pid && everyReady(found), 30_000);
      if (accepted?.status === 200) expect(poolOf(status, name)?.total).toBe(2);
      expect([undefined, 2]).toContain(poolOf(status, name)?.total);
      await expectNoStrays(system);
      if (poolOf(status, name) === undefined) continue;

      const second = await system.status();
      const unload = change(system, 'DELETE', `/${name}`).catch(() => null);
      await new Promise((wake) => setTimeout(wake, delayMs));
      killQuietly(second.node.pid);
      const unloaded = await unload;
      const settled = await system.until(
        (found) =>
          found.node.pid !== second.node.pid &&
          everyReady(found) &&
          found.pools.every(({ leaving }) => !leaving),
        30_000,
      );
      if (unloaded?.status === 200) expect(poolOf(settled, name)).toBeUndefined();
      expect([undefined, 2]).toContain(poolOf(settled, name)?.total);
      await expectNoStrays(system);
    }
  });
});
