/** Starts simulators as real processes, for tests: resolves when one listens, and ends all of them afterwards. */
import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';

const ENTRY = resolve(import.meta.dirname, '../../src/assembly/simulator-process.ts');
const START_MS_MAX = 20_000;

export interface SimulatorExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface SimulatorUnderTest {
  url: string;
  /** Further ports of dialect triton, by what they speak. */
  ports: Record<string, number>;
  pid: number;
  child: ChildProcess;
  /** What it has printed on standard error. */
  log(): string;
  exited: Promise<SimulatorExit>;
  /** Arms faults; the ids given to them. */
  arm(...faults: object[]): Promise<string[]>;
  /** Drops all faults. */
  heal(): Promise<void>;
  /** A metric's value; NaN when it is not there. */
  metric(name: string): Promise<number>;
  /** SIGKILL. Resolves when it has ended. */
  kill(): Promise<SimulatorExit>;
}

const started = new Set<ChildProcess>();

/** Starts quickly and on a free port; `args` come after these. Rejects when it ends before it listens. */
export async function startSimulator(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<SimulatorUnderTest> {
  const { child, output, exited } = spawnSimulator(args, env);
  const ready = (async () => {
    while (!output.stdout.includes('\n')) {
      await new Promise((wake) => child.stdout?.once('data', wake));
    }
    return JSON.parse(output.stdout.split('\n')[0] as string) as {
      url: string;
      pid: number;
      ports?: Record<string, number>;
    };
  })();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no port after ${START_MS_MAX} ms: ${output.stderr}`)),
      START_MS_MAX,
    );
  });
  const ended = exited.then((exit) => {
    throw new Error(`the simulator ended at its start (${JSON.stringify(exit)}): ${output.stderr}`);
  });
  ended.catch(() => {});
  const {
    url,
    pid,
    ports = {},
  } = await Promise.race([ready, ended, late]).finally(() => clearTimeout(timer));
  const faults = `${url}/simulator/faults`;
  return {
    url,
    ports,
    pid,
    child,
    log: () => output.stderr,
    exited,
    arm: async (...list) => {
      const response = await fetch(faults, { method: 'POST', body: JSON.stringify(list) });
      const body = (await response.json()) as { ids: string[] };
      if (response.status !== 201) throw new Error(`faults refused: ${JSON.stringify(body)}`);
      return body.ids;
    },
    heal: async () => {
      await fetch(faults, { method: 'DELETE' });
    },
    metric: async (name) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const line = text.split('\n').find((candidate) => candidate.startsWith(name));
      return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(' ') + 1));
    },
    kill: () => {
      child.kill('SIGKILL');
      return exited;
    },
  };
}

/** Without waiting for it: for starts that fail. */
export function spawnSimulator(args: readonly string[], env: Record<string, string> = {}) {
  const quick = ['--load-ms', '0', '--compile-ms', '0', '--capture-ms', '0'];
  const child = spawn(process.execPath, [ENTRY, ...quick, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const exited = new Promise<SimulatorExit>((ended) => {
    child.on('close', (code, signal) => {
      started.delete(child);
      ended({ code, signal });
    });
  });
  return { child, output, exited };
}

/** For afterEach or afterAll. */
export async function stopSimulators(): Promise<void> {
  await Promise.all(
    [...started].map(async (child) => {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await ended;
    }),
  );
}

/** Polls until `check` gives something truthy; rejects after `limitMs` with `what`. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | false | undefined> | T | false | undefined,
  limitMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
