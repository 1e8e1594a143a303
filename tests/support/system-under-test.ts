/**
 * The whole system as a user starts it: `autoglm serve` with a configuration of the test's making, free ports and a state
 * directory of its own. Whatever it started is ended with the test, found by the owner tag in its environment.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { statePaths } from '../../src/assembly/config/state-paths.ts';
import type { SystemStatus } from '../../src/contract/admin-api.ts';
import type { ConfigInput } from '../../src/contract/config-schema.ts';
import { eventually } from './gateway-under-test.ts';

const ROOT = resolve(import.meta.dirname, '../..');

export interface SystemUnderTest {
  directory: string;
  configFile: string;
  stateDir: string;
  /** The newest launcher. */
  launcher: ChildProcess;
  /** Everything the launchers and node processes printed. */
  output(): string;
  url(): string;
  v1(): string;
  adminUrl(): string;
  status(): Promise<SystemStatus>;
  /** Runs `serve` again with the same configuration. */
  serve(): Promise<void>;
  /** Waits until `holds` is true of the status. */
  until(holds: (status: SystemStatus) => boolean, timeoutMs?: number): Promise<SystemStatus>;
  post(path: string, body?: unknown): Promise<Response>;
  /** Pids of all living processes that belong to this state directory. */
  processes(): number[];
  stop(): Promise<void>;
}

export async function startSystem(config: Omit<ConfigInput, 'state_dir'>): Promise<SystemUnderTest> {
  const adminPort = await freePort();
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'autoglm-system-')));
  const stateDir = join(directory, 'state');
  const configFile = join(directory, 'autoglm.yaml');
  writeFileSync(
    configFile,
    stringify({
      // Fixed for the life of the test: a node process that comes back must be found where it was.
      gateway: { port: await freePort(), ...config.gateway },
      admin: { port: adminPort, ...config.admin },
      ...Object.fromEntries(Object.entries(config).filter(([key]) => key !== 'gateway' && key !== 'admin')),
      state_dir: stateDir,
    }),
  );
  let output = '';
  let gatewayUrl = '';
  const system: SystemUnderTest = {
    directory,
    configFile,
    stateDir,
    launcher: undefined as unknown as ChildProcess,
    output: () => output,
    url: () => gatewayUrl,
    v1: () => `${gatewayUrl}/v1`,
    adminUrl: () => adminUrl,
    status: async () => (await fetch(`${adminUrl}/api/v1/status`)).json() as Promise<SystemStatus>,
    serve: async () => {
      const child = spawn(
        process.execPath,
        [join(ROOT, 'bin/autoglm.mjs'), 'serve', '--config', configFile],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: { ...process.env, NO_COLOR: '1' },
        },
      );
      const take = (chunk: Buffer) => {
        output += chunk.toString();
      };
      child.stdout?.on('data', take);
      child.stderr?.on('data', take);
      system.launcher = child;
      child.once('exit', (code) => {
        output += `\n[serve ended with code ${code}]\n`;
      });
      const status = await system.until(
        ({ gateways, pools }) =>
          gateways.some(({ state }) => state === 'listening') &&
          pools.every(({ ready, total }) => ready === total && total > 0),
        30_000,
      );
      gatewayUrl = status.gatewayAddress;
    },
    until: async (holds, timeoutMs = 15_000) => {
      const endMs = performance.now() + timeoutMs;
      for (;;) {
        const status = await system.status().catch(() => null);
        if (status !== null && holds(status)) return status;
        if (
          status === null &&
          system.launcher.exitCode !== null &&
          performance.now() > endMs - timeoutMs + 2_000
        ) {
          throw new Error(`serve ended with code ${system.launcher.exitCode}:\n${output.slice(-2000)}`);
        }
        if (performance.now() > endMs)
          throw new Error(
            `not so within ${timeoutMs} ms; status: ${JSON.stringify(status)}\n${output.slice(-2000)}`,
          );
        await new Promise((done) => setTimeout(done, 25));
      }
    },
    post: (path, body = {}) =>
      fetch(`${adminUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    processes: () => processesOf(stateDir, system.launcher?.pid),
    stop: async () => {
      // Whoever was just being started when its starter was killed is found at the next look.
      await eventually(() => {
        for (const pid of processesOf(stateDir, system.launcher?.pid)) killQuietly(pid);
        return processesOf(stateDir, undefined).length === 0;
      }, 20_000);
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    await system.serve();
  } catch (error) {
    // Whoever asked has no system yet that it could stop.
    await system.stop();
    throw error;
  }
  return system;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/**
 * Living processes that name the state directory in their command line or environment, engines that carry the owner tag of
 * this installation (a `command:` need not name the directory), and the launcher.
 */
function processesOf(stateDir: string, launcherPid: number | undefined): number[] {
  const directory = join(stateDir, '..');
  const owner = `AUTOGLM_OWNER=${statePaths(stateDir).instance}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(
      (pid) =>
        pid !== process.pid &&
        (pid === launcherPid || mentions(pid, directory) || mentions(pid, owner)) &&
        isAlive(pid),
    );
}

function mentions(pid: number, text: string): boolean {
  const sources = [
    () => readFileSync(`/proc/${pid}/cmdline`, 'latin1'),
    () => readFileSync(`/proc/${pid}/environ`, 'latin1'),
    // A program that is told nothing of ours, such as a real engine, still works where the supervisor put it.
    () => readlinkSync(`/proc/${pid}/cwd`),
  ];
  return sources.some((read) => {
    try {
      return read().includes(text);
    } catch {
      // Gone, or not ours to read.
      return false;
    }
  });
}

export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

export function killQuietly(pid: number): void {
  // 0 and -1 would be the test runner's group, and everybody.
  if (pid <= 0) throw new RangeError(`no pid to kill: ${pid}`);
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

/** A pool of simulators, as `models:` has it. */
export function simulatorPool(
  name: string,
  replicas: number,
  args: string[] = [],
): NonNullable<ConfigInput['models']>[number] {
  return {
    model_name: name,
    engine: 'simulator',
    replicas,
    env: { AUTOGLM_SIMULATOR_ARGS: JSON.stringify(args) },
  };
}
