/**
 * Processes of this machine, behind the `ProcessHost` port. Each process gets a session and process group of its own, so it
 * outlives us and is signalled as a whole; its output goes to a file, never to a pipe that would break with us.
 *
 * Identity is pid and start time from /proc. Where there is no /proc (macOS) the start time is 0: a pid alone then names a
 * process, and processes without a record are not found.
 */
import { type ChildProcess, spawn as spawnChild } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { PlatformError } from '../../contract/errors.ts';
import type {
  ProcessExit,
  ProcessHost,
  ProcessIdentity,
  SpawnSpec,
} from '../../contract/ports/process-host.ts';
import { isDead } from '../../wire/proc/proc-stat.ts';
import { createExitWatch, type ExitWatch } from './exit-watch.ts';
import { listPids, readProcStat, readProcVariable } from './proc-stat.ts';

const OWNER_VARIABLE = 'AUTOGLM_OWNER';
/** Ended children whose end nobody has asked about yet. */
const UNREAD_EXITS_MAX = 256;
/** What every process gets of our own environment, when there is such a variable. */
const MINIMAL_VARIABLES = ['PATH', 'HOME', 'LANG', 'TMPDIR'];

interface Child {
  process: ChildProcess;
  exit: ProcessExit | null;
}

export interface ProcessHostOptions {
  /** Our own environment; of it a process gets PATH, HOME, LANG and TMPDIR, beside what its spec says. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Of a start that went on all the same. */
  onProblem?(problem: string, detail: Record<string, unknown>): void;
}

export function createProcessHost(options: ProcessHostOptions): ProcessHost {
  const { environment } = options;
  const minimal: Record<string, string> = {};
  for (const name of MINIMAL_VARIABLES) {
    const value = environment[name];
    if (value !== undefined) minimal[name] = value;
  }
  return new LocalProcessHost(minimal, options);
}

class LocalProcessHost implements ProcessHost {
  readonly #minimal: Record<string, string>;
  readonly #options: ProcessHostOptions;
  readonly #children = new Map<number, Child>();
  readonly #others: ExitWatch = createExitWatch();

  constructor(minimal: Record<string, string>, options: ProcessHostOptions) {
    this.#minimal = minimal;
    this.#options = options;
  }

  async spawn(spec: SpawnSpec): Promise<ProcessIdentity> {
    // First: below a state directory that was deleted this makes the working directory anew, too.
    const log = this.#openLog(spec);
    try {
      requireDirectory(spec.cwd);
      const process = spawnChild(spec.command, spec.args, {
        cwd: spec.cwd,
        env: { ...this.#minimal, ...spec.env, [OWNER_VARIABLE]: spec.owner },
        detached: true,
        stdio: ['ignore', log ?? 'ignore', log ?? 'ignore'],
      });
      // Without a listener an 'error' after the start would be thrown into the loop.
      const failure = new Promise<never>((_resolve, reject) => process.once('error', reject));
      const { pid } = process;
      if (pid === undefined) return await failure;
      failure.catch(() => {});
      // Read before the loop turns: until then even a process that has ended already is there, as a zombie.
      const identity = { pid, startTicks: readProcStat(pid)?.startTicks ?? 0 };
      this.#keep(pid, process);
      return identity;
    } catch (error) {
      throw startError(spec.command, error);
    } finally {
      if (log !== null) closeSync(log);
    }
  }

  /** A program that runs without a log is worth more than none: null when the file can not be written. */
  #openLog({ logFile, owner }: SpawnSpec): number | null {
    try {
      mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
      return openSync(logFile, 'a', 0o600);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      this.#options.onProblem?.('a process is started without a log, which can not be written', {
        owner,
        logFile,
        code,
        error: message,
      });
      return null;
    }
  }

  isAlive({ pid, startTicks }: ProcessIdentity): boolean {
    const child = this.#children.get(pid);
    if (child !== undefined && child.exit !== null) return false;
    const stat = readProcStat(pid);
    if (stat !== undefined) return stat.startTicks === startTicks && !isDead(stat);
    return startTicks === 0 && exists(pid);
  }

  signalGroup(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
    return this.isAlive(identity) && sendToGroup(identity.pid, signal);
  }

  onExit(identity: ProcessIdentity, callback: (exit: ProcessExit) => void): Disposable {
    const child = this.#children.get(identity.pid);
    if (child === undefined) {
      return this.#others.watch(
        () => this.isAlive(identity),
        () => {
          endRestOfGroup(identity);
          callback({ kind: 'unknown' });
        },
      );
    }
    return this.#watchChild(identity, child, callback);
  }

  findOwned(ownerPrefix: string): { identity: ProcessIdentity; owner: string }[] {
    const found: { identity: ProcessIdentity; owner: string }[] = [];
    for (const { stat, owner } of owned(ownerPrefix)) {
      // Children inherit the tag, also those with a group of their own: the one that was started leads a group, and its
      // parent is somebody else.
      if (stat.groupId !== stat.pid || readProcVariable(stat.parentId, OWNER_VARIABLE) === owner) continue;
      found.push({ identity: { pid: stat.pid, startTicks: stat.startTicks }, owner });
    }
    return found;
  }

  killOwned(ownerPrefix: string): number {
    let killed = 0;
    for (const { stat } of owned(ownerPrefix)) {
      if (sendTo(stat.pid, 'SIGKILL')) killed++;
    }
    return killed;
  }

  #keep(pid: number, process: ChildProcess): void {
    const child: Child = { process, exit: null };
    this.#children.set(pid, child);
    process.once('exit', (code, signal) => {
      child.exit = signal === null ? { kind: 'exited', code: code ?? 0 } : { kind: 'signalled', signal };
      endRestOfGroup({ pid, startTicks: 0 });
      this.#forgetOldest();
    });
    // A process that nobody watches must not keep us alive.
    process.unref();
  }

  #watchChild(identity: ProcessIdentity, child: Child, callback: (exit: ProcessExit) => void): Disposable {
    let disposed = false;
    const deliver = () => {
      if (disposed) return;
      disposed = true;
      this.#children.delete(identity.pid);
      callback(child.exit ?? { kind: 'unknown' });
    };
    if (child.exit !== null) setImmediate(deliver);
    else {
      child.process.ref();
      child.process.once('exit', deliver);
    }
    return {
      [Symbol.dispose]: () => {
        disposed = true;
        child.process.off('exit', deliver);
        child.process.unref();
      },
    };
  }

  #forgetOldest(): void {
    const unread = [...this.#children].filter(([, { exit }]) => exit !== null);
    for (const [pid] of unread.slice(0, Math.max(0, unread.length - UNREAD_EXITS_MAX)))
      this.#children.delete(pid);
  }
}

function* owned(ownerPrefix: string) {
  for (const pid of listPids()) {
    const owner = readProcVariable(pid, OWNER_VARIABLE);
    if (owner === undefined || !owner.startsWith(ownerPrefix)) continue;
    const stat = readProcStat(pid);
    if (stat !== undefined && !isDead(stat)) yield { stat, owner };
  }
}

/**
 * The leader has ended; what it leaves behind in its group would hold ports and memory. The group's number is not given
 * away while it has members, so a living process of that pid means that the group is empty.
 */
function endRestOfGroup({ pid }: ProcessIdentity): void {
  const stat = readProcStat(pid);
  if (stat === undefined || isDead(stat)) sendToGroup(pid, 'SIGKILL');
}

function sendToGroup(pid: number, signal: NodeJS.Signals): boolean {
  return sendTo(-pid, signal);
}

/** False when there is nobody, or only zombies (EPERM on macOS). */
function sendTo(target: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(target, signal);
  } catch {
    return false;
  }
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Without this a missing directory is reported as a missing program. */
function requireDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  throw new PlatformError('internal', `working directory ${path} does not exist; create it`);
}

function startError(command: string, error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') {
    const text = `program "${command}" was not found; install it, or give its full path as \`command\``;
    return new PlatformError('engine_binary_missing', text, { cause: error });
  }
  if (code === 'EACCES') {
    const text = `program "${command}" may not be executed; check its permissions`;
    return new PlatformError('engine_binary_missing', text, { cause: error });
  }
  return PlatformError.from(error, 'internal', `program "${command}" could not be started: ${message}`);
}
