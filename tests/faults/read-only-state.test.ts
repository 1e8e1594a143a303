/**
 * Goal: what is killed comes back while nothing can be written to the state directory, and a stop is in order. Method: the
 * state directory, in use, is mounted read-only over itself; engines, gateway, node process and launcher are killed in turn.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isAlive, signal, until } from '../support/serve-harness.ts';
import { Outage } from '../support/state-outage.ts';

let outage: Outage | undefined;
afterEach(async () => {
  await outage?.[Symbol.asyncDispose]();
  outage = undefined;
});

function mountReadOnly(directory: string): boolean {
  if (spawnSync('mount', ['--bind', directory, directory]).status !== 0) return false;
  return spawnSync('mount', ['-o', 'remount,ro,bind', directory]).status === 0;
}

/** Root in a container may not mount either, so it is tried. */
function mayMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'autoglm-mount-'));
  const may = mountReadOnly(directory);
  spawnSync('umount', [directory]);
  rmdirSync(directory);
  return may;
}

describe.skipIf(!mayMount())('a state directory that became read-only (needs the right to mount)', () => {
  it('costs nothing of what can be killed: all of it comes back, is adopted, and stops in order', async () => {
    const here = await Outage.start();
    outage = here;
    const launched = await here.serve();
    mountReadOnly(here.stateDir);
    here.onEnd(() => spawnSync('umount', ['-l', here.stateDir]));

    await here.killEngines();
    await here.killGateway();
    const { gateways, pools } = await here.killNode();
    expect(await here.chat()).toBe(200);

    // The launcher too: whoever runs `serve` again watches over what is there.
    signal(launched.child.pid as number, 'SIGKILL');
    const again = here.installation.serve();
    await again.waitFor(/watching over it from here/);
    const status = await here.status();
    expect(status.gateways.map(({ pid }) => pid)).toEqual(gateways.map(({ pid }) => pid));
    expect(status.pools[0]?.replicas.map(({ pid }) => pid)).toEqual(pools[0]?.replicas.map(({ pid }) => pid));

    again.child.kill('SIGTERM');
    expect(await again.exited).toBe(0);
    expect(again.output).not.toMatch(/^ +at /m);
    await until('nothing is left', () => here.installation.processes().length === 0);
  });
});

describe('a state directory that became a file', () => {
  it('does not take the node process down with the gateway, and the gateway comes back', async () => {
    const here = await Outage.start();
    outage = here;
    const launched = await here.serve();
    const { node } = await here.status();
    rmSync(here.stateDir, { recursive: true });
    writeFileSync(here.stateDir, '');
    await here.killGateway();
    expect((await here.status()).node.pid).toBe(node.pid);
    expect(isAlive(node.pid)).toBe(true);
    launched.child.kill('SIGTERM');
    expect(await launched.exited).toBe(0);
    expect(launched.output).not.toMatch(/^ +at /m);
  });

  it('does not hide engines from a launcher that must end them without a node process', async () => {
    const here = await Outage.start();
    outage = here;
    const launched = await here.serve();
    const { node, pools } = await here.status();
    rmSync(here.stateDir, { recursive: true });
    writeFileSync(here.stateDir, '');
    // Stopped first, so that it can not carry out what the launcher tells it.
    signal(node.pid, 'SIGSTOP');
    launched.child.kill('SIGTERM');
    await launched.waitFor(/^SIGTERM/m);
    signal(node.pid, 'SIGKILL');
    expect(await launched.exited).toBe(0);
    expect(launched.output).toContain('the node process is gone; stopping gateways and engines');
    expect(launched.output).not.toMatch(/^ +at /m);
    for (const { pid } of pools[0]?.replicas ?? []) expect(isAlive(pid as number)).toBe(false);
    expect(here.installation.processes()).toEqual([]);
  });
});
