/**
 * Sources of signals against this machine itself: real processes, a real kill for want of memory in a cgroup, the real kernel log.
 * Where the machine does not allow one of them the test is skipped and says why.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSignalSources } from '../../../src/assembly/signal-sources.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { SignalSource, SignalSubject } from '../../../src/contract/ports/signal-source.ts';
import type { ProcessFacts } from '../../../src/contract/signals.ts';
import { createProcessHost } from '../../../src/drivers/process/local-process-host.ts';
import { parseProcStat } from '../../../src/wire/proc/proc-stat.ts';
import { memoryCgroup, removeCgroup } from '../../support/memory-cgroup.ts';

const LIMIT_BYTES = 96 * 2 ** 20;
const signal = new AbortController().signal;
const PREFIX = `sigtest${process.pid}:replica:m/0#`;

let folder: string;
let sources: SignalSource[];
let started: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'autoglm-signals-'));
  started = [];
  sources = createSignalSources({
    config: {
      configPath: null,
      signals: { kernelLog: undefined, nvidiaSmi: 'nvidia-smi', dockerSocket: undefined, plugins: [] },
    },
    clock: systemClock,
    log: () => {},
  });
});
afterEach(async () => {
  for (const source of sources) source.close();
  for (const { pid } of started) kill(-pid!, 'SIGKILL');
  // Workers in groups of their own.
  createProcessHost({ environment: {} }).killOwned(PREFIX);
  await Promise.all(
    started.map(
      (child) => child.exitCode ?? child.signalCode ?? new Promise((end) => child.once('exit', end)),
    ),
  );
  rmSync(folder, { recursive: true, force: true });
});

function kill(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}

function source(name: string): SignalSource {
  const found = sources.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no source "${name}"; known: ${sources.map((one) => one.name)}`);
  return found;
}

/** An engine in a group of its own, tagged as the supervisor tags them. */
async function start(
  script: string,
  { generation = 1, shell = '' } = {},
): Promise<{ child: ChildProcess; subject: SignalSubject }> {
  const [command, args] =
    shell === ''
      ? [process.execPath, ['-e', script]]
      : ['/bin/sh', ['-c', `${shell}; exec "$0" -e "$1"`, process.execPath, script]];
  const startedAtMs = systemClock.monotonicMs();
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH, AUTOGLM_OWNER: `${PREFIX}${generation}#8000#ff` },
  });
  started.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const stat = parseProcStat(readFileSync(`/proc/${child.pid}/stat`, 'latin1'));
  const subject = {
    replica: 'm/0',
    generation,
    engine: 'embedded',
    process: { pid: child.pid!, startTicks: stat!.startTicks },
    ownerPrefix: PREFIX,
    url: null,
    startedAtMs,
  };
  return { child, subject };
}

/** Starts a worker that calls itself as those of vLLM do, in a group of its own; it prints its pid. */
const WITH_WORKER = `
  const { spawn } = require('node:child_process');
  const worker = spawn(process.execPath, ['-e', 'process.title = "VLLM::EngineCore"; setInterval(() => {}, 1000); console.log("up")'],
    { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  worker.stdout.once('data', () => console.log(worker.pid));
  setInterval(() => {}, 1000);
`;

async function seen(
  subject: SignalSubject,
  isThere: (facts: ProcessFacts) => boolean,
): Promise<ProcessFacts> {
  for (let tries = 0; tries < 200; tries++) {
    const { processes } = await source('process-tree').look(subject, signal);
    if (processes !== undefined && isThere(processes)) return processes;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it was never seen');
}

it('sees the tree of a real engine, a worker that is killed, and a tree that is stopped', async () => {
  const { child, subject } = await start(WITH_WORKER);
  const facts = await seen(subject, ({ processCount }) => processCount === 2);
  expect(facts).toMatchObject({ wrapperAlive: true, missing: [], orphans: [], unexpected: [], stopped: [] });
  expect(facts.rssBytes).toBeGreaterThan(20 * 2 ** 20);
  expect(facts.openFiles).toBeGreaterThan(3);
  kill(child.pid!, 'SIGSTOP');
  expect((await seen(subject, ({ stopped }) => stopped!.length > 0)).stopped).toEqual([child.pid]);
  kill(child.pid!, 'SIGCONT');
  const worker = await workerOf(child.pid!);
  kill(worker, 'SIGKILL');
  expect((await seen(subject, ({ missing }) => missing.length > 0)).missing).toEqual(['VLLM::EngineCore']);
});

async function workerOf(pid: number): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    if (children !== '') return Number(children.split(' ')[0]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`process ${pid} has no child`);
}

it('finds a real orphan of the start before, which lives on in a group of its own', async () => {
  const former = await start(WITH_WORKER);
  const worker = await workerOf(former.child.pid!);
  kill(former.child.pid!, 'SIGKILL');
  await new Promise((resolve) => former.child.once('exit', resolve));
  try {
    const { subject } = await start('console.log(1); setInterval(() => {}, 1000)', { generation: 2 });
    const { orphans } = await seen(subject, (facts) => facts.orphans.length > 0);
    expect(orphans).toEqual([{ pid: worker, name: 'VLLM::EngineCore' }]);
  } finally {
    kill(worker, 'SIGKILL');
  }
});

it('finds a shell below an engine, and measures a processor that is fully used', async () => {
  const { subject } = await start(
    `require('node:child_process').spawn('/bin/sh', ['-c', 'read line'], { stdio: ['pipe', 'ignore', 'ignore'] });
     console.log(1); for (;;);`,
  );
  const facts = await seen(subject, ({ unexpected, frontendCpuRatio }) => {
    return unexpected!.length > 0 && (frontendCpuRatio ?? 0) > 0.3;
  });
  expect(facts.unexpected).toMatchObject([{ command: '/bin/sh -c read line' }]);
});

it('knows of a real kill for want of memory, from the counter of the cgroup and from the kernel log', async ({
  skip,
}) => {
  const cgroup = memoryCgroup(`autoglm-signals-${process.pid}`, LIMIT_BYTES);
  if ('reason' in cgroup) return skip(cgroup.reason);
  const go = join(folder, 'go');
  try {
    const { child, subject } = await start(
      `console.log(1); const kept = []; const { existsSync } = require('node:fs');
       setInterval(() => { if (existsSync(${JSON.stringify(go)})) for (;;) kept.push(Buffer.alloc(8 << 20, 1)); }, 20);`,
      { shell: `echo $$ > ${join(cgroup.folder, 'cgroup.procs')}` },
    );
    const before = await source('cgroup').look(subject, signal);
    expect(before).toMatchObject({ oomKills: 0, memoryLimitBytes: LIMIT_BYTES });
    expect(before.memoryUsedBytes).toBeGreaterThan(0);
    await source('process-tree').look(subject, signal);
    await source('kernel-log').look(subject, signal);
    const exit = new Promise((resolve) => child.once('exit', (_code, name) => resolve(name)));
    writeFileSync(go, '');
    expect(await exit).toBe('SIGKILL');
    const beganMs = performance.now();
    const last = source('cgroup').lookLast!(subject);
    expect(last.oomKills).toBeGreaterThanOrEqual(1);
    expect(performance.now() - beganMs).toBeLessThan(50);
    const { kernelLines = [], unavailable } = source('kernel-log').lookLast!(subject);
    if (unavailable === undefined)
      expect(kernelLines.join('\n')).toMatch(new RegExp(`out of memory: Killed process ${child.pid} `));
    const other = { ...subject, replica: 'm/1', process: { pid: process.pid, startTicks: 1 } };
    const told = source('kernel-log').lookLast!(other).kernelLines ?? [];
    expect(told.filter((line) => line.includes('Killed process'))).toEqual([]);
  } finally {
    await removeCgroup(cgroup.folder);
  }
});

it('reads the real kernel log from its present end on', async ({ skip }) => {
  const { subject } = await start('console.log(1); setInterval(() => {}, 1000)');
  const words = `nvidia test of autoglm ${process.pid}, no fault`;
  const { unavailable } = await source('kernel-log').look(subject, signal);
  if (unavailable !== undefined) return skip(unavailable.join('; '));
  try {
    writeFileSync('/dev/kmsg', `<6>${words}\n`);
  } catch (error) {
    return skip(`nothing can be written to the kernel log: ${(error as Error).message}`);
  }
  const { kernelLines } = await source('kernel-log').look(subject, signal);
  // The kernel may have more to say of its own at this moment.
  expect(kernelLines).toContainEqual(expect.stringMatching(new RegExp(`^\\[ *[\\d.]+\\] ${words}$`)));
});

it('sees memory of the host, and says what it cannot see', async () => {
  const { subject } = await start('console.log(1); setInterval(() => {}, 1000)');
  const reading = await source('host-memory').look(subject, signal);
  expect(reading.hostFreeBytes).toBeGreaterThan(2 ** 20);
  const { gpus, unavailable } = await source('gpus').look({ ...subject, engine: 'vllm' }, signal);
  expect(gpus === undefined).toBe(unavailable !== undefined);
});

it('walks over all processes of this machine in a few ms for twenty replicas', async () => {
  const { subject } = await start('console.log(1); setInterval(() => {}, 1000)');
  await source('process-tree').look(subject, signal);
  const before = process.cpuUsage();
  await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      source('process-tree').look({ ...subject, replica: `m/${index}` }, signal),
    ),
  );
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(200);
});
