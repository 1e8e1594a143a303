/**
 * Runs the real `autoglm` as a user would, with a state directory of its own, and proves afterwards that nothing stayed behind.
 * Processes are found by the tag in their environment, so only those that a test started are ever touched.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { SystemStatus } from '../../src/contract/admin-api.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
const BIN = join(ROOT, 'bin', 'autoglm.mjs');
const POLL_MS = 25;

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Polls until `probe` gives something; fails with `what` and the last error after `timeoutMs`. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = 20_000,
): Promise<Exclude<T, false | null | undefined>> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      const found = await probe();
      if (found) return found as Exclude<T, false | null | undefined>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}${last === undefined ? '' : ` (${String(last)})`}`);
}

/** A directory with a configuration and a state directory. Every process that runs on it can be found and ended. */
export class Installation {
  readonly dir: string;
  stateDir: string;
  readonly configFile: string;
  instance: string;
  readonly #launchers: Launched[] = [];
  readonly #extraEnv: Record<string, string>;

  constructor(config: string, extraEnv: Record<string, string> = {}) {
    this.dir = realpathSync(mkdtempSync(join(tmpdir(), 'autoglm-test-')));
    this.stateDir = join(this.dir, 'state');
    mkdirSync(this.stateDir);
    this.configFile = join(this.dir, 'autoglm.yaml');
    this.instance = instanceOf(this.stateDir);
    this.#extraEnv = extraEnv;
    this.writeConfig(config);
  }

  writeConfig(text: string): void {
    this.writeText(`state_dir: ${this.stateDir}\n${text}`);
  }

  /** The whole file. */
  writeText(text: string): void {
    writeFileSync(this.configFile, text);
  }

  /** From here on the state directory is this one; the configuration names it already. */
  at(stateDir: string): this {
    this.stateDir = stateDir;
    this.instance = instanceOf(stateDir);
    return this;
  }

  get env(): Record<string, string> {
    const { PATH = '', HOME = '' } = process.env;
    return { PATH, HOME, AUTOGLM_CONFIG: this.configFile, NO_COLOR: '1', ...this.#extraEnv };
  }

  /** `nodeArgs`: further arguments of Node itself. */
  serve(options: readonly string[] = [], nodeArgs: readonly string[] = []): Launched {
    const launched = new Launched(this, options, nodeArgs);
    this.#launchers.push(launched);
    return launched;
  }

  /** Runs a command to its end. */
  cli(args: string[], options: { input?: string; timeoutMs?: number } = {}): Promise<CliResult> {
    const child = spawn(process.execPath, [BIN, ...args], { cwd: this.dir, env: this.env });
    child.stdin.end(options.input ?? '');
    return collect(child, options.timeoutMs ?? 30_000);
  }

  async status(): Promise<SystemStatus> {
    const { code, stdout, stderr } = await this.cli(['status', '--json']);
    if (code !== 0) throw new Error(`status ended with ${code}: ${stdout}${stderr}`);
    return JSON.parse(stdout) as SystemStatus;
  }

  /** Asks the running system without starting a process for it. */
  async statusDirect(): Promise<SystemStatus> {
    const { adminAddress } = this.record();
    const response = await fetch(`${adminAddress}/api/v1/status`, { signal: AbortSignal.timeout(5_000) });
    return (await response.json()) as SystemStatus;
  }

  record(): { pid: number; adminAddress: string; gatewayAddress: string } {
    return JSON.parse(readFileSync(join(this.stateDir, 'node.json'), 'utf8')) as ReturnType<
      Installation['record']
    >;
  }

  /** Living processes of this installation: pid and tag. */
  processes(): { pid: number; owner: string }[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const owner = ownerOf(name);
        return owner?.startsWith(`${this.instance}:`) ? [{ pid: Number(name), owner }] : [];
      });
  }

  /** Pids of gateways and engines. */
  workerPids(): number[] {
    return this.processes()
      .filter(({ owner }) => !owner.endsWith(':node'))
      .map(({ pid }) => pid)
      .sort((a, b) => a - b);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const launched of this.#launchers) launched.child.kill('SIGKILL');
    await until('no process of this installation is left', () => {
      const left = this.processes();
      for (const { pid } of left) signal(pid, 'SIGKILL');
      return left.length === 0;
    });
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** One `autoglm serve`. */
export class Launched {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  #output = '';

  constructor(installation: Installation, options: readonly string[], nodeArgs: readonly string[]) {
    this.child = spawn(process.execPath, [...nodeArgs, BIN, 'serve', ...options], {
      cwd: installation.dir,
      env: installation.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk) => {
        this.#output += String(chunk);
      });
    }
    this.exited = new Promise((done) => this.child.once('exit', done));
  }

  get output(): string {
    return this.#output;
  }

  async waitFor(text: RegExp, timeoutMs = 30_000): Promise<void> {
    await until(`output ${text}; found:\n${this.#output}`, () => text.test(this.#output), timeoutMs).catch(
      (error) => {
        throw new Error(`${String(error)}\noutput:\n${this.#output}`);
      },
    );
  }
}

function instanceOf(stateDir: string): string {
  return createHash('sha256').update(stateDir).digest('hex').slice(0, 12);
}

/** False when the process is gone already. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** A zombie counts as dead. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

export function collect(child: ChildProcess, timeoutMs: number): Promise<CliResult> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.stdout?.on('data', (chunk) => {
      stdout += String(chunk);
    });
    child.stderr?.on('data', (chunk) => {
      stderr += String(chunk);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
}

function ownerOf(pid: string): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
    const owner = environment
      .find((entry) => entry.startsWith('AUTOGLM_OWNER='))
      ?.slice('AUTOGLM_OWNER='.length);
    return isAlive(Number(pid)) ? owner : undefined;
  } catch {
    return undefined;
  }
}
