/**
 * Goal: engines come back while the state directory has no byte left. Method: the state directory on a small file system of its
 * own, filled to the last byte while the system serves; engines killed.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Installation, signal, until } from '../support/serve-harness.ts';

const CONFIG = `gateway: { port: 0 }
admin: { port: 0 }
supervisor: { backoff_initial_ms: 20, restarts_max: 100 }
`;

let installation: Installation | undefined;
let mounted: string | undefined;
afterEach(async () => {
  // Lazily: whoever still has a file open there ends with the installation.
  if (mounted !== undefined) spawnSync('umount', ['-l', mounted]);
  await installation?.[Symbol.asyncDispose]();
  installation = undefined;
  mounted = undefined;
});

function mountSmall(directory: string): boolean {
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory]);
  if (status === 0) mounted = directory;
  return status === 0;
}

/** Root in a container may not mount either, so it is tried. */
function mayMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'autoglm-mount-'));
  const may = mountSmall(directory);
  if (may) spawnSync('umount', [directory]);
  rmdirSync(directory);
  mounted = undefined;
  return may;
}

function fill(file: string): void {
  const fd = openSync(file, 'w');
  const block = Buffer.alloc(4096);
  try {
    while (writeSync(fd, block) > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(!mayMount())('a state directory without a free byte (needs the right to mount)', () => {
  it.each([
    ['simulator', 'models: [{ model_name: m, engine: simulator, replicas: 2 }]\n'],
    ['embedded', 'models: [{ model_name: inference-ops-demo, engine: embedded, replicas: 2 }]\n'],
  ])('does not keep a killed engine down (%s)', async (_engine, models) => {
    const here = new Installation(CONFIG + models);
    installation = here;
    mountSmall(here.stateDir);
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
});
