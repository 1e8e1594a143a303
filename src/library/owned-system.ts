/**
 * A whole system (launcher, node process, gateway, engines) that belongs to this program: it listens on loopback only, wants a
 * key that nobody else has, and ends with this program, however that ends, because the pipe between the two breaks.
 *
 * States: starting, ready, closing, closed. A launcher that dies is started again, and finds everything running.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../assembly/config/environment.ts';
import { readNodeRecord } from '../assembly/config/node-record.ts';
import { processEntry } from '../assembly/process-entry.ts';
import { type AdminClient, createAdminClient } from '../client/admin-client.ts';
import type { PoolStatus, SystemStatus } from '../contract/admin-api.ts';
import { type ErrorCode, PlatformError } from '../contract/errors.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { ReplicaState } from '../contract/fleet.ts';
import { systemConfig } from './engine-options.ts';
import type { Endpoint } from './generation.ts';

export interface OwnedSystemOptions {
  /** An entry of `models`. */
  entry: Record<string, unknown>;
  modelName: string;
  /** Undefined: a temporary one. */
  stateDir: string | undefined;
  environment: Environment;
  startTimeoutMs: number;
}

const POLL_MS = 25;
/** From the start of the launcher until the node process answers; engines have their own limit. */
const ANSWER_MS_MAX = 30_000;
const RESTART_WAIT_MS = 200;
const PORTS_LOST_MAX = 10;
/** Beyond two drains of 30 s: what has not ended then is killed. */
const CLOSE_MS_MAX = 90_000;
/** A second signal within this time counts as the same. */
const SECOND_SIGNAL_MS = 400;
const KILL_MS_MAX = 10_000;
const LOG_BYTES_SHOWN = 2_000;

/** A start that was refused for one of these is refused again: somebody must change something. */
const REFUSALS = new Map<number, ErrorCode>([
  [EXIT_CODES.configInvalid.code, 'config_invalid'],
  [EXIT_CODES.alreadyRunning.code, 'already_running'],
]);

/** Variables that would make the system listen or behave as this program is meant to. */
const NOT_INHERITED = [
  'PORT',
  'AUTOGLM_HOST',
  'AUTOGLM_MODEL',
  'NODE_OPTIONS',
  'AUTOGLM_CONFIG',
  'AUTOGLM_STATE_DIR',
  'AUTOGLM_API_KEYS',
];

export class OwnedSystem {
  readonly stateDir: string;
  readonly #options: OwnedSystemOptions;
  readonly #isTemporary: boolean;
  readonly #key = randomBytes(24).toString('base64url');
  readonly #configFile: string;
  readonly #logFile: string;
  /** The near ends of the pipes: a launcher that dies leaves its own to the node process. */
  readonly #pipes: unknown[] = [];
  #launcher: ChildProcess | null = null;
  #failure: PlatformError | null = null;
  #portsLost = 0;
  #closing: Promise<void> | null = null;

  constructor(options: OwnedSystemOptions) {
    this.#options = options;
    this.#isTemporary = options.stateDir === undefined;
    this.stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'autoglm-engine-'));
    this.#configFile = join(this.stateDir, 'owned.yaml');
    this.#logFile = join(this.stateDir, 'logs', 'serve.log');
  }

  /** Resolves when a replica takes requests; rejects with what stands in the way, and nothing is left running then. */
  async start(signal: AbortSignal): Promise<void> {
    try {
      mkdirSync(join(this.stateDir, 'logs'), { recursive: true, mode: 0o700 });
      const config = systemConfig(this.stateDir, this.#key, this.#options.entry);
      // JSON is YAML; nothing in it shall be taken for a variable.
      writeFileSync(this.#configFile, JSON.stringify(config).replaceAll('${', '$${'), { mode: 0o600 });
      this.#spawn();
      await this.#untilReady(signal);
    } catch (thrown) {
      const error = PlatformError.from(thrown);
      this.#failure ??= error;
      await this.close();
      throw error;
    }
  }

  /** Rejects when the system has failed for good or is being closed. */
  async endpoint(): Promise<Endpoint> {
    this.#requireOpen();
    const { gatewayAddress } = this.#record();
    return { url: gatewayAddress, apiKey: this.#key };
  }

  async status(signal?: AbortSignal): Promise<SystemStatus> {
    this.#requireOpen();
    return this.#admin().status(signal);
  }

  /** Takes nothing new, finishes what runs, ends every process. Resolves when none is left. */
  close(): Promise<void> {
    this.#closing ??= this.#closeOnce();
    return this.#closing;
  }

  get #isOver(): boolean {
    return this.#closing !== null || this.#failure !== null;
  }

  #requireOpen(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#closing !== null) throw new PlatformError('shutting_down', 'the engine is closed');
  }

  #spawn(): void {
    const { environment } = this.#options;
    const env = { ...environment.variables };
    for (const name of NOT_INHERITED) delete env[name];
    const log = openSync(this.#logFile, 'a', 0o600);
    const args = ['--config', this.#configFile, ...(this.#isTemporary ? ['--temporary', this.stateDir] : [])];
    const child = spawn(process.execPath, [processEntry('owned-serve-process'), ...args], {
      // A session of its own: Ctrl-C in the terminal is this program's business, which then closes the engine or ends.
      detached: true,
      stdio: ['ignore', log, log, 'pipe'],
      cwd: this.stateDir,
      env,
    });
    closeSync(log);
    const pipe = child.stdio[3] as import('node:net').Socket;
    pipe.on('error', () => {});
    // An engine is no reason for this program to go on.
    pipe.unref();
    child.unref();
    this.#pipes.push(pipe);
    this.#launcher = child;
    child.once('error', (error) => this.#onLauncherEnd(child, null, error.message));
    child.once('exit', (code, how) => this.#onLauncherEnd(child, code, how ?? `code ${code}`));
  }

  #onLauncherEnd(child: ChildProcess, code: number | null, how: string): void {
    if (this.#launcher !== child) return;
    this.#launcher = null;
    if (this.#isOver) return;
    const refused = code === null ? undefined : REFUSALS.get(code);
    if (refused !== undefined) {
      this.#failure = new PlatformError(refused, this.#logTail() || `the start was refused (${how})`);
      return;
    }
    // Our ports are any that are free: that somebody else was quicker is no reason to give up, unless it never ends.
    if (code === EXIT_CODES.portInUse.code && ++this.#portsLost === PORTS_LOST_MAX) {
      this.#failure = new PlatformError('port_in_use', this.#logTail());
      return;
    }
    const timer = setTimeout(() => {
      if (!this.#isOver) this.#spawn();
    }, RESTART_WAIT_MS);
    timer.unref();
  }

  async #untilReady(signal: AbortSignal): Promise<void> {
    const beganMs = performance.now();
    const limitMs = ANSWER_MS_MAX + this.#options.startTimeoutMs;
    let answered = false;
    for (;;) {
      if (signal.aborted)
        throw new PlatformError('client_closed', 'the start was given up', { cause: signal.reason });
      this.#requireOpen();
      const pool = await this.#pool();
      answered ||= pool !== undefined;
      if (pool !== undefined && judge(pool) === 'ready') return;
      const spentMs = performance.now() - beganMs;
      if (spentMs > limitMs || (!answered && spentMs > ANSWER_MS_MAX))
        throw new PlatformError(
          'no_replica',
          `the engine is not ready after ${Math.round(spentMs)} ms; see ${this.#logFile}`,
        );
      await sleep(POLL_MS);
    }
  }

  /** Undefined as long as nothing answers. */
  async #pool(): Promise<PoolStatus | undefined> {
    try {
      const { pools, gateways } = await this.#admin().status(AbortSignal.timeout(1_000));
      if (!gateways.some(({ state }) => state === 'listening')) return undefined;
      return pools.find(({ model }) => model === this.#options.modelName);
    } catch {
      return undefined;
    }
  }

  #record(): { gatewayAddress: string; adminAddress: string } {
    const record = readNodeRecord(join(this.stateDir, 'node.json'));
    if (record?.gatewayAddress == null || record.adminAddress === null)
      throw new PlatformError('not_running', 'the engine is just being started');
    return { gatewayAddress: record.gatewayAddress, adminAddress: record.adminAddress };
  }

  #admin(): AdminClient {
    return createAdminClient({ url: this.#record().adminAddress, key: this.#key });
  }

  async #closeOnce(): Promise<void> {
    const child = this.#launcher;
    if (child !== null) {
      child.ref();
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await Promise.race([ended, sleep(CLOSE_MS_MAX, undefined, { ref: false })]);
      if (this.#launcher !== null) await this.#kill(child, ended);
    }
    // The pipes break only now: until here the system ends in order.
    for (const pipe of this.#pipes.splice(0)) (pipe as import('node:net').Socket).destroy();
    if (this.#isTemporary) rmSync(this.stateDir, { recursive: true, force: true, maxRetries: 3 });
  }

  /** A second signal kills everything at once. */
  async #kill(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
    await sleep(SECOND_SIGNAL_MS);
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(KILL_MS_MAX)]);
    child.kill('SIGKILL');
  }

  #logTail(): string {
    try {
      return readFileSync(this.#logFile, 'utf8')
        .slice(-LOG_BYTES_SHOWN)
        .replace(/^error: /, '')
        .trim();
    } catch {
      return '';
    }
  }
}

const ON_ITS_WAY: readonly ReplicaState[] = ['starting', 'backing-off', 'unready', 'stopping', 'draining'];

/** Throws what keeps every replica from starting. */
function judge({ model, replicas }: PoolStatus): 'ready' | 'waiting' {
  if (replicas.some(({ state }) => state === 'ready')) return 'ready';
  if (replicas.length === 0 || replicas.some(({ state }) => ON_ITS_WAY.includes(state))) return 'waiting';
  const reasons = [...new Set(replicas.map(({ reason }) => reason))].join('; ');
  throw new PlatformError('no_replica', `model "${model}" cannot be started: ${reasons}`);
}
