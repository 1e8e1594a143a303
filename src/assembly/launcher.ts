/**
 * What `autoglm serve` runs: it brings the node process back when it dies, and does nothing else, so that there is little in
 * it that could fail. Gateways and engines are the node process's business; only when that one cannot be asked does the
 * launcher end them itself.
 *
 * Invariant: at most one launcher, and at most one node process, per state directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type BackoffPolicy, backoffMs } from '../base/backoff.ts';
import { systemClock } from '../base/clock.ts';
import { createRandom } from '../base/random.ts';
import { PlatformError } from '../contract/errors.ts';
import { EXIT_CODES } from '../contract/exit-codes.ts';
import type { ProcessHost, ProcessIdentity } from '../contract/ports/process-host.ts';
import type { Environment } from './config/environment.ts';
import { loadConfig } from './config/load-config.ts';
import { readNodeRecord, removeNodeRecord } from './config/node-record.ts';
import { type ResolvedConfig, resolveConfig } from './config/resolve-config.ts';
import { killOwned, type OwnedProcesses, stopOwned } from './end-processes.ts';
import { lockHolder, takeLock } from './instance-lock.ts';
import { ownedProcesses } from './owned-processes.ts';
import { onOwnerGone } from './owner-pipe.ts';
import { processEntry } from './process-entry.ts';
import { identityOf } from './processes.ts';
import { requireStateDir } from './state-dir.ts';

export interface LauncherOptions {
  /** `--config` as it was given. */
  configOption: string | undefined;
  environment: Environment;
  print(text: string): void;
  complain(text: string): void;
  /** The program that owns the whole system. */
  owner?: {
    /** Descriptor of a pipe to it: when it breaks, everything is stopped. */
    fd: number;
    /** The state directory is of no use without it: the node process removes it when it has ended. */
    temporary: boolean;
  };
}

/** How the node process ended, as far as the launcher can tell. */
type NodeEnd =
  | { kind: 'stopped' }
  | { kind: 'restart' }
  | { kind: 'refused'; code: number }
  | { kind: 'died'; how: string };

const RESTART_BACKOFF: BackoffPolicy = { initialMs: 100, maxMs: 5_000, jitterRatio: 0.2 };
/** A node process that lived longer is taken to have been healthy: the backoff begins anew. */
const HEALTHY_AFTER_MS = 10_000;
/** `npm start` passes Ctrl-C on as well as the terminal does: the same key press arrives twice within milliseconds. */
const SAME_KEYPRESS_MS = 250;
/** Beyond the drain deadlines of gateways and of engines. */
const STOP_MARGIN_MS = 20_000;

/** The first after standard input, output and error. */
const OWNER_FD_OF_NODE = 3;

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const REFUSALS: readonly number[] = [
  EXIT_CODES.configInvalid.code,
  EXIT_CODES.portInUse.code,
  EXIT_CODES.alreadyRunning.code,
];

/** Resolves with the exit code when everything has stopped. Throws PlatformError when nothing could be started. */
export async function runLauncher(options: LauncherOptions): Promise<number> {
  const startedAtMs = systemClock.wallMs();
  const config = resolveConfig(loadConfig(options.configOption, options.environment));
  for (const line of config.notHonoured) options.complain(`not honoured: ${line}`);
  requireStateDir(config.paths, options.complain);
  const locked = await takeLock('launcher', config.paths);
  if (!locked.held) throw alreadyRunning(config, locked.holderPid);
  try {
    return await new Launcher(options, config, startedAtMs).run();
  } finally {
    locked.lock.release();
  }
}

function alreadyRunning({ paths }: ResolvedConfig, holderPid: number | null): PlatformError {
  const record = readNodeRecord(paths.nodeRecord);
  const where = record?.gatewayAddress ? `, gateway at ${record.gatewayAddress}` : '';
  return new PlatformError(
    'already_running',
    `autoglm serve runs already with state directory ${paths.root} (pid ${holderPid ?? 'unknown'}${where}); use it (\`autoglm status\`), stop it, or choose another \`state_dir\``,
  );
}

class Launcher {
  readonly #options: LauncherOptions;
  readonly #config: ResolvedConfig;
  readonly #startedAtMs: number;
  readonly #owned: OwnedProcesses;
  readonly #processHost: ProcessHost;
  readonly #random = createRandom(process.pid ^ Date.now());
  /** Fires with the first signal. */
  readonly #stop = new AbortController();
  #firstSignalMs: number | null = null;
  #node: ProcessIdentity | null = null;
  #killed = false;

  constructor(options: LauncherOptions, config: ResolvedConfig, startedAtMs: number) {
    this.#options = options;
    this.#config = config;
    this.#startedAtMs = startedAtMs;
    this.#owned = ownedProcesses(config.paths);
    this.#processHost = this.#owned.processHost;
  }

  async run(): Promise<number> {
    const onSignal = (signal: NodeJS.Signals) => this.#onSignal(signal);
    const { owner } = this.#options;
    if (owner !== undefined) onOwnerGone(owner.fd, () => this.#onSignal('the owner has ended'));
    for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
    try {
      return await this.#keepAlive();
    } finally {
      for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
    }
  }

  async #keepAlive(): Promise<number> {
    let failures = 0;
    let everServed = false;
    for (;;) {
      const beganMs = systemClock.monotonicMs();
      const end = await this.#liveOnce(failures === 0 && !everServed);
      if (this.#killed) return EXIT_CODES.interrupted.code;
      if (this.#stop.signal.aborted) return this.#finish(end);
      const livedMs = systemClock.monotonicMs() - beganMs;
      if (end.kind === 'stopped') return EXIT_CODES.ok.code;
      // Who is refused at the first start must change something first; later ones may pass, such as a port in use.
      if (end.kind === 'refused' && !everServed) return end.code;
      everServed = true;
      failures = livedMs > HEALTHY_AFTER_MS ? 0 : failures + 1;
      if (end.kind === 'restart') continue;
      const delayMs = backoffMs(RESTART_BACKOFF, Math.max(0, failures - 1), this.#random.next());
      const how = end.kind === 'died' ? end.how : `it was refused (code ${end.code})`;
      this.#options.complain(
        `the node process ended (${how}); engines and gateway go on, it is started again in ${delayMs} ms`,
      );
      await systemClock.sleep(delayMs, this.#stop.signal).catch(() => undefined);
      if (this.#stop.signal.aborted) return this.#finish(end);
    }
  }

  /** Watches the node process that runs already, or starts one; resolves when it has ended. */
  async #liveOnce(first: boolean): Promise<NodeEnd> {
    const { paths } = this.#config;
    const record = readNodeRecord(paths.nodeRecord);
    if (record !== null && this.#processHost.isAlive(record))
      return this.#watchAdopted(record, `admin ${record.adminAddress ?? 'starting'}`);
    // One whose record could not be written, on a full or read-only disk, is named by its lock.
    const pid = await lockHolder('node', paths);
    if (pid !== null) return this.#watchAdopted(identityOf(pid), null);
    return this.#watchChild(this.#spawnNode(first));
  }

  #spawnNode(first: boolean): ChildProcess {
    const { configPath, paths } = this.#config;
    const { owner } = this.#options;
    return spawn(
      process.execPath,
      [
        processEntry('node-process'),
        '--instance',
        paths.instance,
        ...(configPath === null ? [] : ['--config', configPath]),
        ...(first ? ['--since', String(this.#startedAtMs)] : []),
        ...(owner === undefined ? [] : ['--owner-fd', String(OWNER_FD_OF_NODE)]),
        ...(owner?.temporary ? ['--temporary'] : []),
      ],
      {
        // A session of its own: Ctrl-C in the terminal reaches the launcher alone, which passes it on in order.
        detached: true,
        stdio: ['ignore', 'inherit', 'inherit', ...(owner === undefined ? [] : [owner.fd])],
        cwd: this.#options.environment.workDir,
        env: {
          ...this.#options.environment.variables,
          AUTOGLM_OWNER: `${paths.instance}:node`,
        },
      },
    );
  }

  #watchChild(child: ChildProcess): Promise<NodeEnd> {
    return new Promise((resolve) => {
      const node = { pid: child.pid ?? 0, startTicks: 0 };
      if (child.pid !== undefined) this.#node = node;
      // A signal that came before there was a process to tell.
      if (this.#stop.signal.aborted) child.kill('SIGTERM');
      const done = (end: NodeEnd) => {
        this.#node = null;
        resolve(end);
      };
      child.once('error', (error) => done({ kind: 'died', how: error.message }));
      child.once('exit', (code, signal) => done(describeExit(code, signal)));
    });
  }

  /**
   * Its launcher was killed. It is no child of ours, so how it ended is told by whether it removed its record; `recorded` says
   * what is in there, null without one.
   */
  #watchAdopted(node: ProcessIdentity, recorded: string | null): Promise<NodeEnd> {
    const { pid } = node;
    const details = recorded === null ? `pid ${pid}` : `pid ${pid}, ${recorded}`;
    this.#options.print(`a node process runs already (${details}); watching over it from here`);
    this.#node = node;
    return new Promise((resolve) => {
      const watch = this.#processHost.onExit(node, () => {
        watch[Symbol.dispose]();
        this.#node = null;
        const isRemoved = recorded !== null && readNodeRecord(this.#config.paths.nodeRecord) === null;
        resolve(isRemoved ? { kind: 'stopped' } : { kind: 'died', how: `pid ${pid} is gone` });
      });
    });
  }

  #onSignal(signal: string): void {
    const nowMs = systemClock.monotonicMs();
    if (this.#firstSignalMs === null) {
      this.#firstSignalMs = nowMs;
      this.#options.complain(`\n${signal}: draining, then stopping engines; a second signal stops at once`);
      this.#stop.abort();
      this.#tellNode('SIGTERM');
      const deadlineMs = 2 * this.#config.gateway.drainTimeoutMs + STOP_MARGIN_MS;
      setTimeout(() => void this.#killAll(`not stopped after ${deadlineMs / 1000} s`), deadlineMs).unref();
    } else if (nowMs - this.#firstSignalMs > SAME_KEYPRESS_MS) {
      void this.#killAll(`second signal (${signal})`);
    }
  }

  #tellNode(signal: NodeJS.Signals): void {
    if (this.#node === null) return;
    try {
      process.kill(this.#node.pid, signal);
    } catch {
      // It has just ended; its exit is on its way to us.
    }
  }

  async #killAll(why: string): Promise<void> {
    if (this.#killed) return;
    this.#killed = true;
    this.#options.complain(`${why}: killing node process, gateways and engines`);
    this.#tellNode('SIGKILL');
    await killOwned(this.#owned);
    removeNodeRecord(this.#config.paths.nodeRecord);
    process.exit(EXIT_CODES.interrupted.code);
  }

  /** After a stop was asked for and the node process has ended: was it in order, or must we stop the rest? */
  async #finish(end: NodeEnd): Promise<number> {
    if (end.kind !== 'stopped') {
      this.#options.complain('the node process is gone; stopping gateways and engines');
      await stopOwned(this.#owned, this.#config.gateway.drainTimeoutMs);
      removeNodeRecord(this.#config.paths.nodeRecord);
    }
    return this.#killed ? EXIT_CODES.interrupted.code : EXIT_CODES.ok.code;
  }
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): NodeEnd {
  if (code === EXIT_CODES.ok.code) return { kind: 'stopped' };
  if (code === EXIT_CODES.restartWanted.code) return { kind: 'restart' };
  if (code !== null && REFUSALS.includes(code)) return { kind: 'refused', code };
  return { kind: 'died', how: signal === null ? `code ${code}` : signal };
}
