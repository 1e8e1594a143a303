/**
 * Source of signals: the processes of an engine, as /proc shows them. Finds children that are gone while the wrapper lives,
 * processes that are stopped, what former starts left behind, and programs that an engine has no business to start; says what the
 * tree takes of memory and processors. It looks at intervals: a program that lives shorter than one may be missed.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createRedactor } from '../../../base/redaction.ts';
import type { SignalSource, SignalSubject } from '../../../contract/ports/signal-source.ts';
import type { ProcessFacts, SignalReading } from '../../../contract/signals.ts';
import { isTool, isUnexpected, isWorkerTitle, keepsChildren } from './engine-programs.ts';
import type { ProcessSnapshot, ProcessTable, SeenProcess } from './process-table.ts';
import { type EngineTree, orphansOf, treeOf } from './tree-of.ts';

/** Ticks of /proc/PID/stat per second (USER_HZ), on every architecture that Node runs on. */
const TICKS_PER_S = 100;
/** A child without a title counts as one that is kept after this time. */
const KEPT_AFTER_MS = 60_000;
/** And is missed when nothing took its place for so long. */
const MISSED_AFTER_MS = 5_000;
/** Shortest time over which a share of processors is measured. */
const CPU_WINDOW_MS_MIN = 200;
const LISTED_MAX = 20;
const COMMAND_CHARS_MAX = 200;

export interface ProcessTreeOptions {
  table: ProcessTable;
  /** Memory of GPUs by pid, as it was last seen. Default: not known. */
  gpuBytesByPid?: () => ReadonlyMap<number, number>;
}

interface Child {
  name: string;
  titled: boolean;
  firstSeenMs: number;
}

/** What is remembered of one start of a replica. */
interface Memory {
  generation: number;
  children: Map<number, Child>;
  lost: Map<number, Child & { sinceMs: number }>;
  cpu: { atMs: number; ticks: ReadonlyMap<number, number> } | null;
  ratios: Pick<ProcessFacts, 'frontendCpuRatio' | 'treeCpuRatio'>;
  /** Every process that was ever part of the tree, for lines of the kernel that name one. */
  pids: Set<number>;
}

const PIDS_MAX = 4_096;

/** A command line is shown and kept; what reads like a key or a password is not. */
const redactor = createRedactor([]);

export class ProcessTreeSource implements SignalSource {
  readonly name = 'process-tree';
  readonly metrics = ['processes', 'cpu_load', 'host_memory'] as const;
  readonly #table: ProcessTable;
  readonly #gpuBytesByPid: () => ReadonlyMap<number, number>;
  readonly #memories = new Map<string, Memory>();

  constructor({ table, gpuBytesByPid = () => new Map() }: ProcessTreeOptions) {
    this.#table = table;
    this.#gpuBytesByPid = gpuBytesByPid;
  }

  async look(subject: SignalSubject, signal: AbortSignal): Promise<SignalReading> {
    if (subject.process === null) return {};
    const snapshot = await this.#table.read();
    if (signal.aborted) return {};
    if (snapshot.byPid.size === 0) {
      return {
        unavailable: [
          `processes: ${this.#table.root} cannot be read, so children, orphans and memory of engines are not seen`,
        ],
      };
    }
    return { processes: this.#factsOf(snapshot, subject) };
  }

  close(): void {
    this.#memories.clear();
  }

  /** Pids that are or were part of the engine in this generation; null: none was ever seen. */
  pidsOf({ replica, generation, process }: SignalSubject): ReadonlySet<number> | null {
    const memory = this.#memories.get(replica);
    if (memory?.generation === generation) return memory.pids;
    return process === null ? null : new Set([process.pid]);
  }

  #factsOf(snapshot: ProcessSnapshot, subject: SignalSubject): ProcessFacts {
    const tree = treeOf(snapshot, subject);
    const memory = this.#memoryOf(subject);
    const command = (seen: SeenProcess) => this.#table.commandOf(seen);
    this.#notePids(tree, memory);
    this.#noteChildren(snapshot.atMs, subject, tree, memory);
    this.#measureCpu(snapshot.atMs, tree, memory);
    const gpuBytes = this.#gpuBytesByPid();
    const orphans = orphansOf(snapshot, subject, tree, command).map((seen) => {
      const bytes = gpuBytes.get(seen.pid);
      return { pid: seen.pid, name: this.#nameOf(seen), ...(bytes !== undefined && { gpuBytes: bytes }) };
    });
    const { main, members } = tree;
    const openFiles = main === undefined ? undefined : this.#openFiles(main.pid);
    return {
      wrapperAlive: main !== undefined,
      missing: missingOf(snapshot.atMs, memory),
      orphans: orphans.slice(0, LISTED_MAX),
      ...memory.ratios,
      stopped: [...members.values()].filter(({ state }) => state === 'T').map(({ pid }) => pid),
      unexpected: this.#unexpected(subject, tree),
      ...this.#residentBytes(members),
      processCount: members.size,
      ...(openFiles !== undefined && { openFiles }),
    };
  }

  #memoryOf({ replica, generation }: SignalSubject): Memory {
    let memory = this.#memories.get(replica);
    if (memory?.generation !== generation) {
      memory = {
        generation,
        children: new Map(),
        lost: new Map(),
        cpu: null,
        ratios: {},
        pids: new Set(),
      };
      this.#memories.set(replica, memory);
    }
    return memory;
  }

  #notePids({ members }: EngineTree, { pids }: Memory): void {
    if (pids.size + members.size > PIDS_MAX) pids.clear();
    for (const pid of members.keys()) pids.add(pid);
  }

  #noteChildren(atMs: number, { engine }: SignalSubject, tree: EngineTree, memory: Memory): void {
    const { main, members } = tree;
    const present = new Map<number, Child>();
    for (const seen of members.values()) {
      if (seen.pid === main?.pid) continue;
      const titled = isWorkerTitle(this.#table.commandOf(seen));
      const isKept = keepsChildren(engine) && seen.parentId === main?.pid;
      if (!titled && (!isKept || isTool(this.#table.programOf(seen)))) continue;
      const before = memory.children.get(seen.pid);
      const name = this.#nameOf(seen);
      present.set(seen.pid, { name, titled, firstSeenMs: before?.firstSeenMs ?? atMs });
    }
    for (const [pid, child] of memory.children) {
      const wasKept = child.titled || atMs - child.firstSeenMs >= KEPT_AFTER_MS;
      if (!present.has(pid) && wasKept) memory.lost.set(pid, { ...child, sinceMs: atMs });
    }
    // One that came new under the same name takes the place of one that is gone.
    const came = [...present].filter(([pid]) => !memory.children.has(pid)).map(([, { name }]) => name);
    for (const name of came) {
      const replaced = [...memory.lost].find(([, lost]) => lost.name === name);
      if (replaced !== undefined) memory.lost.delete(replaced[0]);
    }
    memory.children = present;
  }

  #measureCpu(atMs: number, { main, members }: EngineTree, memory: Memory): void {
    const { cpu } = memory;
    const spanMs = cpu === null ? 0 : atMs - cpu.atMs;
    if (cpu !== null && spanMs < CPU_WINDOW_MS_MIN) return;
    const ticks = new Map([...members.values()].map(({ pid, cpuTicks }) => [pid, cpuTicks]));
    if (cpu !== null) {
      const spentOf = (pid: number) =>
        Math.max(0, (ticks.get(pid) ?? 0) - (cpu.ticks.get(pid) ?? 0)) / TICKS_PER_S / (spanMs / 1000);
      const tree = [...members.keys()].reduce((sum, pid) => sum + spentOf(pid), 0);
      memory.ratios = {
        treeCpuRatio: tree,
        ...(main !== undefined && { frontendCpuRatio: spentOf(main.pid) }),
      };
    }
    memory.cpu = { atMs, ticks };
  }

  #unexpected(
    { engine }: SignalSubject,
    { main, members }: EngineTree,
  ): NonNullable<ProcessFacts['unexpected']> {
    const mainProgram = main === undefined ? null : this.#table.programOf(main);
    const found = [...members.values()].flatMap((seen) => {
      if (seen.pid === main?.pid) return [];
      const program = this.#table.programOf(seen);
      const command = this.#table.commandOf(seen);
      const parent = members.get(seen.parentId);
      const parentProgram = parent === undefined ? null : this.#table.programOf(parent);
      if (!isUnexpected({ engine, program, command, parentProgram, mainProgram })) return [];
      return [{ pid: seen.pid, name: program, command: redactor.text(command).slice(0, COMMAND_CHARS_MAX) }];
    });
    return found.slice(0, LISTED_MAX);
  }

  /** Shared memory that several processes of the tree map is counted once. */
  #residentBytes(members: ReadonlyMap<number, SeenProcess>): Pick<ProcessFacts, 'rssBytes'> {
    let own = 0;
    let shared = 0;
    let isKnown = false;
    for (const pid of members.keys()) {
      const status = this.#text(pid, 'status');
      if (status === undefined) continue;
      const resident = kibOf(status, 'VmRSS');
      if (resident === undefined) continue;
      isKnown = true;
      const sharedHere = kibOf(status, 'RssShmem') ?? 0;
      own += resident - sharedHere;
      shared = Math.max(shared, sharedHere);
    }
    return isKnown ? { rssBytes: (own + shared) * 1024 } : {};
  }

  #openFiles(pid: number): number | undefined {
    const folder = join(this.#table.root, String(pid), 'fd');
    try {
      // Since Linux 6.2 the size is the number of entries.
      const { size } = statSync(folder);
      return size > 0 ? size : readdirSync(folder).length;
    } catch {
      return undefined;
    }
  }

  #nameOf(seen: SeenProcess): string {
    const command = this.#table.commandOf(seen);
    const [first = ''] = command.split(' ');
    return isWorkerTitle(command) && first.includes('::') ? first : seen.name;
  }

  #text(pid: number, file: string): string | undefined {
    try {
      return readFileSync(join(this.#table.root, String(pid), file), 'utf8');
    } catch {
      return undefined;
    }
  }
}

function missingOf(atMs: number, { lost }: Memory): string[] {
  return [...lost.values()]
    .filter(({ titled, sinceMs }) => titled || atMs - sinceMs >= MISSED_AFTER_MS)
    .map(({ name }) => name);
}

function kibOf(status: string, key: string): number | undefined {
  const [, kib] = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status) ?? [];
  return kib === undefined ? undefined : Number(kib);
}
