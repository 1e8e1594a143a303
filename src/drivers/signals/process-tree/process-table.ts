/**
 * All processes of this machine, read in one walk of /proc that whoever asks within `freshMs` shares: with twenty replicas it is
 * still one walk for each look. The walk gives the event loop back between slices. Linux only; elsewhere the table is empty.
 *
 * The owner tag and the program of a process are read once in its life, and again when it changes its name: a program that was
 * started in place of another one, or a process that calls itself by what it does.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type ProcStat, parseProcStat } from '../../../wire/proc/proc-stat.ts';

const OWNER_VARIABLE = 'AUTOGLM_OWNER';
const SLICE = 128;
const FRESH_MS = 250;
/** Walks that must agree before an owner tag is believed for good: between fork and exec a child wears its parent's. */
const OWNER_READS = 2;
const COMMAND_CHARS_MAX = 2_000;

export interface SeenProcess extends ProcStat {
  /** AUTOGLM_OWNER of the environment that it was started with; undefined: none, or it may not be read. */
  owner: string | undefined;
}

export interface ProcessSnapshot {
  /** Monotonic ms at which the walk began. */
  atMs: number;
  byPid: ReadonlyMap<number, SeenProcess>;
}

export interface ProcessTableOptions {
  nowMs(): number;
  /** Default: /proc. */
  root?: string;
  /** How old a walk may be for another one who asks. Default 250 ms. */
  freshMs?: number;
}

interface Kept {
  startTicks: number;
  name: string;
  owner: string | undefined;
  ownerReads: number;
  program: string | undefined;
  command: string | undefined;
}

export class ProcessTable {
  readonly root: string;
  readonly #nowMs: () => number;
  readonly #freshMs: number;
  #kept = new Map<number, Kept>();
  #latest: ProcessSnapshot | null = null;
  #walking: Promise<ProcessSnapshot> | null = null;

  constructor({ nowMs, root = '/proc', freshMs = FRESH_MS }: ProcessTableOptions) {
    this.root = root;
    this.#nowMs = nowMs;
    this.#freshMs = freshMs;
  }

  async read(): Promise<ProcessSnapshot> {
    const latest = this.#latest;
    if (latest !== null && this.#nowMs() - latest.atMs < this.#freshMs) return latest;
    this.#walking ??= this.#walk().finally(() => {
      this.#walking = null;
    });
    return await this.#walking;
  }

  /** What the last walk found, whenever that was; null: there was none. */
  get latest(): ProcessSnapshot | null {
    return this.#latest;
  }

  /** File name of the program that the process runs, such as `python3.12`; its own name where that may not be read. */
  programOf(process: SeenProcess): string {
    const kept = this.#keep(process);
    kept.program ??= this.#readProgram(process.pid) ?? process.name;
    return kept.program;
  }

  /** Words of its command line joined by blanks, or what the process calls itself; empty: a thread of the kernel, or gone. */
  commandOf(process: SeenProcess): string {
    const kept = this.#keep(process);
    kept.command ??= this.#readCommand(process.pid);
    return kept.command;
  }

  /** Of the environment that a process was started with; undefined: it has none, or that may not be read. */
  variableOf(pid: number, name: string): string | undefined {
    const prefix = `${name}=`;
    const entry = this.#text(pid, 'environ', 'utf8')
      ?.split('\0')
      .find((line) => line.startsWith(prefix));
    return entry?.slice(prefix.length);
  }

  async #walk(): Promise<ProcessSnapshot> {
    const atMs = this.#nowMs();
    const byPid = new Map<number, SeenProcess>();
    const pids = this.#pids();
    for (let from = 0; from < pids.length; from += SLICE) {
      if (from > 0) await setImmediate();
      for (const pid of pids.slice(from, from + SLICE)) {
        const stat = this.#readStat(pid);
        if (stat !== undefined) byPid.set(pid, { ...stat, owner: this.#ownerOf(stat) });
      }
    }
    this.#kept = new Map([...this.#kept].filter(([pid]) => byPid.has(pid)));
    this.#latest = { atMs, byPid };
    return this.#latest;
  }

  #keep({ pid, startTicks, name }: ProcStat): Kept {
    const before = this.#kept.get(pid);
    if (before !== undefined && before.startTicks === startTicks && before.name === name) return before;
    const kept: Kept = {
      startTicks,
      name,
      owner: undefined,
      ownerReads: 0,
      program: undefined,
      command: undefined,
    };
    this.#kept.set(pid, kept);
    return kept;
  }

  #ownerOf(stat: ProcStat): string | undefined {
    const kept = this.#keep(stat);
    if (kept.ownerReads >= OWNER_READS) return kept.owner;
    const owner = this.variableOf(stat.pid, OWNER_VARIABLE);
    kept.ownerReads = owner === kept.owner || kept.ownerReads === 0 ? kept.ownerReads + 1 : 1;
    kept.owner = owner;
    return owner;
  }

  #pids(): number[] {
    try {
      return readdirSync(this.root).filter(isNumber).map(Number);
    } catch {
      return [];
    }
  }

  #readStat(pid: number): ProcStat | undefined {
    const text = this.#text(pid, 'stat', 'latin1');
    return text === undefined ? undefined : parseProcStat(text);
  }

  #readProgram(pid: number): string | undefined {
    try {
      // What was replaced on disk while it runs.
      const path = readlinkSync(join(this.root, String(pid), 'exe')).replace(/ \(deleted\)$/, '');
      return basename(path);
    } catch {
      return undefined;
    }
  }

  #readCommand(pid: number): string {
    const text = this.#text(pid, 'cmdline', 'utf8') ?? '';
    return text.replaceAll('\0', ' ').trim().slice(0, COMMAND_CHARS_MAX);
  }

  #text(pid: number, file: string, encoding: 'utf8' | 'latin1'): string | undefined {
    try {
      return readFileSync(join(this.root, String(pid), file), encoding);
    } catch {
      return undefined;
    }
  }
}

function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}
