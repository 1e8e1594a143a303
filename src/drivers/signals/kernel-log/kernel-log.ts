/**
 * Source of signals: lines of the kernel about GPUs and about processes that it ended. An engine is told the lines since its start
 * that may be about it: not those that name a process of somebody else, or a GPU that it does not use.
 */
import type { SignalSource, SignalSubject } from '../../../contract/ports/signal-source.ts';
import type { SignalReading } from '../../../contract/signals.ts';
import { concernsEngines, type KernelLine, pciIn, pidIn, shortPci, xidIn } from './kernel-lines.ts';
import { DmesgFollower, type KernelLogReader, openKernelLog } from './kernel-log-reader.ts';

export interface KernelLogOptions {
  nowMs(): number;
  /** Milliseconds since the start of the machine. */
  machineMs(): number;
  /** Default: /dev/kmsg, and `dmesg --follow` where that may not be read. */
  file?: string;
  /** Processes that are or were the engine's; null: not known. Default: none is. */
  pidsOf?: (subject: SignalSubject) => ReadonlySet<number> | null;
  /** Addresses of the GPUs that the engine uses; null: not known. Default: none is. */
  pciBusIdsOf?: (subject: SignalSubject) => readonly string[] | null;
  /** Whether the kernel's process ids are ours: false in a container with its own. Default: true. */
  samePids?: boolean;
  /** Default: by `file`. */
  open?: () => KernelLogReader;
}

const KEPT_MAX = 500;
/** The clock of the log and ours differ by so much at most. */
const SLACK_MS = 1_000;

interface Arrived {
  line: KernelLine;
  /** Grows with each. */
  number: number;
  arrivedAtMs: number;
}

export class KernelLogSource implements SignalSource {
  readonly name = 'kernel-log';
  readonly metrics = ['kernel_log'] as const;
  readonly #options: KernelLogOptions;
  /** Newest line that was told, by replica. */
  readonly #told = new Map<string, number>();
  #reader: KernelLogReader;
  /** The other way is taken, or there is none. */
  #fallback: boolean;
  #firstProblem: string | null = null;
  #arrived: Arrived[] = [];
  #count = 0;

  constructor(options: KernelLogOptions) {
    this.#options = options;
    this.#reader = options.open?.() ?? openKernelLog(options.file ?? '/dev/kmsg');
    this.#fallback = options.open !== undefined || options.file !== undefined;
  }

  async look(subject: SignalSubject): Promise<SignalReading> {
    return this.#read(subject);
  }

  /** What came up to the end of the process belongs to it, and not to the one that is started next. */
  lookLast(subject: SignalSubject): SignalReading {
    return this.#read(subject);
  }

  close(): void {
    this.#reader.close();
  }

  /** Newest Xid since the start of the engine, by address of the GPU as `shortPci` writes it. */
  xidsSince({ startedAtMs }: SignalSubject): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const arrived of this.#arrived) {
      const xid = xidIn(arrived.line.text);
      const pci = pciIn(arrived.line.text);
      if (xid !== null && pci !== null && this.#isSince(arrived, startedAtMs)) found.set(pci, xid);
    }
    return found;
  }

  #read(subject: SignalSubject): SignalReading {
    this.#take();
    const problem = this.#problem();
    // What was told of the process before is not told of this one, however soon it was started.
    const after = this.#told.get(subject.replica) ?? 0;
    this.#told.set(subject.replica, this.#count);
    const kernelLines = this.#arrived
      .filter((arrived) => arrived.number > after && this.#isSince(arrived, subject.startedAtMs))
      .filter(({ line }) => this.#mayBeAbout(line, subject))
      .map(({ line }) => line.text);
    return {
      ...(kernelLines.length > 0 && { kernelLines }),
      ...(problem !== null && {
        unavailable: [
          `kernel log: ${problem}; without it a lost GPU (Xid) or a kill for want of memory is known by other signs only`,
        ],
      }),
    };
  }

  #problem(): string | null {
    const { problem } = this.#reader;
    if (problem === null || this.#firstProblem === null) return problem;
    return `${this.#firstProblem}, and ${problem}`;
  }

  #take(): void {
    if (this.#reader.problem !== null && !this.#fallback) {
      this.#fallback = true;
      this.#firstProblem = this.#reader.problem;
      this.#reader.close();
      this.#reader = new DmesgFollower();
    }
    const arrivedAtMs = this.#options.nowMs();
    for (const line of this.#reader.take()) {
      if (concernsEngines(line)) this.#arrived.push({ line, number: ++this.#count, arrivedAtMs });
    }
    this.#arrived = this.#arrived.slice(-KEPT_MAX);
  }

  /** By the line's own time where it is that of this machine, else by when it was read. */
  #isSince({ line, arrivedAtMs }: Arrived, startedAtMs: number): boolean {
    const { nowMs, machineMs } = this.#options;
    if (line.bootS === null || !this.#reader.hasMachineTime) return arrivedAtMs >= startedAtMs;
    const agoMs = machineMs() - line.bootS * 1000;
    return nowMs() - agoMs >= startedAtMs - SLACK_MS;
  }

  #mayBeAbout({ text }: KernelLine, subject: SignalSubject): boolean {
    const { pidsOf, pciBusIdsOf, samePids = true } = this.#options;
    const pci = pciIn(text);
    if (pci !== null) {
      const used = pciBusIdsOf?.(subject) ?? null;
      return used === null || used.map(shortPci).includes(pci);
    }
    const pid = pidIn(text);
    const pids = samePids && pid !== null ? (pidsOf?.(subject) ?? null) : null;
    return pid === null || pids === null || pids.has(pid);
  }
}
