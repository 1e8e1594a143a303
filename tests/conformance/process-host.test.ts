/**
 * What the `ProcessHost` port promises, asked of the real one: identity by pid and start time, process groups, exits of
 * children and of adopted processes, owner tags, output, environment.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessExit, ProcessHost, ProcessIdentity } from '../../src/contract/ports/process-host.ts';
import { createProcessHost } from '../../src/drivers/process/local-process-host.ts';
import { machinePace } from '../support/machine-pace.ts';
import { until } from '../support/supervised.ts';

let directory: string;
let host: ProcessHost;
let prefix: string;
const watches: Disposable[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-processes-'));
  host = createProcessHost({ environment: { ...process.env, AUTOGLM_SECRET: 'must not be passed on' } });
  prefix = `conformance-${process.pid}-${directory.slice(-6)}:`;
});

afterEach(async () => {
  for (const watch of watches.splice(0)) watch[Symbol.dispose]();
  host.killOwned(prefix);
  await until(() => host.findOwned(prefix).length === 0, 'all processes of the test have ended');
  rmSync(directory, { recursive: true });
});

const logFile = () => join(directory, 'logs', 'process.log');
const log = () => (existsSync(logFile()) ? readFileSync(logFile(), 'utf8') : '');

/** A process that runs `script`; without one it waits. */
const start = (
  script = 'setInterval(() => {}, 1000)',
  more: { owner?: string; env?: Record<string, string> } = {},
) =>
  host.spawn({
    command: process.execPath,
    args: ['-e', script],
    env: more.env ?? {},
    cwd: directory,
    logFile: logFile(),
    owner: `${prefix}${more.owner ?? 'a'}`,
  });

/** The exit as it is reported, and how often. */
function watchExit(identity: ProcessIdentity, by: ProcessHost = host): ProcessExit[] {
  const exits: ProcessExit[] = [];
  watches.push(by.onExit(identity, (exit) => exits.push(exit)));
  return exits;
}

const reported = (exits: ProcessExit[]) => until(() => exits.length > 0, 'the exit is reported');

describe('starting', () => {
  it('appends output to the log file, and names the process', async () => {
    await start('console.log("to stdout"); console.error("to stderr")');
    await start('console.log("second")');
    await until(() => log().includes('second') && log().includes('to stderr'), 'the output is there');
    expect(log()).toContain('to stdout');
  });

  it('gives a process its own session, a small environment, and no shell', async () => {
    const script = 'console.log(JSON.stringify({ env: process.env, cwd: process.cwd(), pid: process.pid }))';
    const identity = await start(script, { owner: 'env $(id)', env: { OWN: '$HOME `id`' } });
    await until(() => log().includes('\n'), 'the output is there');
    const said = JSON.parse(log().trim().split('\n').at(-1)!) as { env: Record<string, string>; pid: number };
    expect(said.pid).toBe(identity.pid);
    expect(said.env).toMatchObject({
      OWN: '$HOME `id`',
      AUTOGLM_OWNER: `${prefix}env $(id)`,
      PATH: process.env.PATH,
    });
    expect(said.env).not.toHaveProperty('AUTOGLM_SECRET');
    expect(
      Object.keys(said.env).filter((name) => !/^(PATH|HOME|LANG|TMPDIR|OWN|AUTOGLM_OWNER)$/.test(name)),
    ).toEqual([]);
  });

  it('says which program is missing or may not be run', async () => {
    const spec = { args: [], env: {}, cwd: directory, logFile: logFile(), owner: `${prefix}x` };
    await expect(host.spawn({ ...spec, command: 'no-such-program' })).rejects.toMatchObject({
      code: 'engine_binary_missing',
      message: expect.stringContaining('"no-such-program" was not found'),
    });
    const file = join(directory, 'not-executable');
    writeFileSync(file, 'text');
    await expect(host.spawn({ ...spec, command: file })).rejects.toMatchObject({
      code: 'engine_binary_missing',
    });
    await expect(host.spawn({ ...spec, command: process.execPath, cwd: '/nowhere' })).rejects.toThrow(
      'working directory /nowhere does not exist',
    );
  });
});

describe('identity', () => {
  it('is pid and start time: another start time is another process', async () => {
    const identity = await start();
    expect(host.isAlive(identity)).toBe(true);
    if (process.platform !== 'linux') return;
    const reused = { pid: identity.pid, startTicks: identity.startTicks - 1 };
    expect(host.isAlive(reused)).toBe(false);
    expect(host.signalGroup(reused, 'SIGKILL')).toBe(false);
    expect(host.isAlive(identity)).toBe(true);
  });

  it('counts a zombie as dead', async () => {
    // The parent never looks after its child, so the child stays a zombie.
    const script = `const { spawn } = require('child_process');
      const child = spawn('sleep', ['0']);
      console.log(child.pid);
      const end = Date.now() + 60000; while (Date.now() < end);`;
    const parent = await start(script);
    await until(() => log().includes('\n'), 'the child has a pid');
    const pid = Number(log().trim());
    const stat = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
    await until(() => stat()[2] === 'Z', 'the child is a zombie');
    expect(host.isAlive({ pid, startTicks: Number(stat()[21]) })).toBe(false);
    expect(host.isAlive(parent)).toBe(true);
  });

  it('knows that a process is gone, and signals nobody then', async () => {
    const identity = await start('0');
    await until(() => !host.isAlive(identity), 'it has ended');
    expect(host.signalGroup(identity, 'SIGTERM')).toBe(false);
  });
});

describe('exits', () => {
  it.each([
    ['status 0', 'process.exit(0)', { kind: 'exited', code: 0 }],
    ['another status', 'process.exit(134)', { kind: 'exited', code: 134 }],
    ['a signal', 'process.kill(process.pid, "SIGKILL")', { kind: 'signalled', signal: 'SIGKILL' }],
  ])('reports %s of a child, once', async (_name, script, exit) => {
    const exits = watchExit(await start(script));
    await reported(exits);
    expect(exits).toEqual([exit]);
  });

  it('reports an exit that happened before anybody asked', async () => {
    const identity = await start('process.exit(7)');
    await until(() => !host.isAlive(identity), 'it has ended');
    const exits = watchExit(identity);
    expect(exits).toEqual([]);
    await reported(exits);
    expect(exits).toEqual([{ kind: 'exited', code: 7 }]);
  });

  it('reports the end of an adopted process, whose status nobody knows, within 300 ms', async () => {
    const identity = await start();
    const adopting = createProcessHost({ environment: process.env });
    const exits = watchExit(identity, adopting);
    const startMs = performance.now();
    expect(adopting.signalGroup(identity, 'SIGKILL')).toBe(true);
    await reported(exits);
    const tookMs = performance.now() - startMs;
    expect(tookMs).toBeLessThan(300 * machinePace());
    expect(exits).toEqual([{ kind: 'unknown' }]);
  });

  it('reports nothing after the watch was disposed of', async () => {
    const [identity, other] = [await start(), await start()];
    const exits = watchExit(identity);
    watches.splice(0)[0]![Symbol.dispose]();
    const later = watchExit(other);
    host.signalGroup(identity, 'SIGKILL');
    await until(() => !host.isAlive(identity), 'it has ended');
    host.signalGroup(other, 'SIGKILL');
    await reported(later);
    expect(exits).toEqual([]);
  });
});

describe('process groups', () => {
  const PARENT = `const { spawn } = require('child_process');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    console.log(child.pid); setInterval(() => {}, 1000);`;
  const childPid = async () => {
    await until(() => log().includes('\n'), 'the child has a pid');
    return Number(log().trim());
  };
  const lives = (pid: number) => {
    try {
      return process.kill(pid, 0) && readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] !== 'Z';
    } catch {
      return false;
    }
  };

  it('signals the whole group', async () => {
    const identity = await start(PARENT);
    const child = await childPid();
    expect(host.signalGroup(identity, 'SIGTERM')).toBe(true);
    await until(() => !lives(child) && !host.isAlive(identity), 'parent and child have ended');
  });

  it.each([
    'started',
    'adopted',
  ])('ends what is left of a group that was %s when its leader ends', async (kind) => {
    const identity = await start(PARENT);
    const child = await childPid();
    const watching = kind === 'started' ? host : createProcessHost({ environment: process.env });
    const exits = watchExit(identity, watching);
    process.kill(identity.pid, 'SIGKILL');
    await reported(exits);
    await until(() => !lives(child), 'the child has ended');
  });
});

describe('owners', () => {
  it('finds processes by their owner, and not their children', async () => {
    const children = `const { spawn } = require('child_process');
      for (const detached of [true, false])
        spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached, stdio: 'ignore' });
      console.log('started'); setInterval(() => {}, 1000);`;
    const parent = await start(children, { owner: 'engine:a' });
    const other = await start(undefined, { owner: 'gateway:b' });
    await until(() => log().includes('started'), 'the children are there');
    expect(host.findOwned(`${prefix}engine:`)).toEqual([{ identity: parent, owner: `${prefix}engine:a` }]);
    expect(
      host
        .findOwned(prefix)
        .map(({ identity }) => identity.pid)
        .sort(),
    ).toEqual([parent.pid, other.pid].sort());
    expect(host.findOwned('nobody:')).toEqual([]);
  });

  it('kills all of an owner, children of every kind included, and nobody else', async () => {
    const other = await start(undefined, { owner: 'b' });
    const children = `const { spawn } = require('child_process');
      spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });
      console.log('started'); setInterval(() => {}, 1000);`;
    const identity = await start(children, { owner: 'a' });
    await until(() => log().includes('started'), 'the child is there');
    expect(host.killOwned(`${prefix}a`)).toBe(2);
    await until(() => !host.isAlive(identity), 'it has ended');
    await until(() => host.killOwned(`${prefix}a`) === 0, 'nobody is left');
    expect(host.isAlive(other)).toBe(true);
  });
});

it('leaves started processes running when the starter ends', async () => {
  const starter = new URL('../support/start-and-end.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [starter, directory, `${prefix}outlives`], { stdio: 'inherit' });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code).toBe(0);
  const [found] = host.findOwned(`${prefix}outlives`);
  expect(found).toBeDefined();
  const exits = watchExit(found!.identity);
  host.signalGroup(found!.identity, 'SIGKILL');
  await reported(exits);
});
