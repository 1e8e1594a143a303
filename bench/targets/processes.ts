/**
 * Processes of the bench: each on the processor that is meant for it where `taskset` is there, and none outlives `stopAll`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';

export const hasTaskset = spawnSync('taskset', ['--version']).status === 0;
/** Load client and mock engines share one; the measured process has the other. With one processor nothing is pinned. */
export const LOAD_CPU = 0;
export const TARGET_CPU = 1;

const READY_MS_MAX = 20_000;
const END_MS_MAX = 5_000;
const PROBE_MS = 20;

const children = new Set<ChildProcess>();

export interface StartOptions {
  cpu: number;
  env?: NodeJS.ProcessEnv;
  /** Default: what the process says goes nowhere but to `portOf`. */
  stderr?: 'inherit' | 'ignore';
}

export function start(command: string, args: readonly string[], options: StartOptions): ChildProcess {
  const { cpu, env = process.env, stderr = 'inherit' } = options;
  const stdio: ['ignore', 'pipe', typeof stderr] = ['ignore', 'pipe', stderr];
  const child = hasTaskset
    ? spawn('taskset', ['-c', String(cpu), command, ...args], { stdio, env })
    : spawn(command, args, { stdio, env });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

export async function stop(child: ChildProcess): Promise<void> {
  if (!children.has(child)) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), END_MS_MAX);
  await ended;
  clearTimeout(hard);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...children].map(stop));
}

/** The port in the JSON line that a process of ours prints when it listens. */
export function portOf(child: ChildProcess, what: string): Promise<number> {
  return new Promise((found, failed) => {
    let text = '';
    const timer = setTimeout(
      () => failed(new Error(`${what}: no port after ${READY_MS_MAX} ms`)),
      READY_MS_MAX,
    );
    child.stdout?.on('data', (data: Buffer) => {
      text += data.toString();
      const port = /"port":(\d+)/.exec(text)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      found(Number(port));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      failed(new Error(`${what} ended with code ${code}`));
    });
  });
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** Resolves when `origin` answers HTTP, whatever it says. */
export async function untilAnswers(child: ChildProcess, origin: string, what: string): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${what} ended with code ${child.exitCode}`);
    try {
      await (await fetch(`${origin}/`)).arrayBuffer();
      return;
    } catch (error) {
      if (performance.now() > deadline)
        throw new Error(`${what} does not answer at ${origin} after ${READY_MS_MAX} ms`, { cause: error });
    }
    await new Promise((tick) => setTimeout(tick, PROBE_MS));
  }
}
