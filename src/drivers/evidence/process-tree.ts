/** The processes of an engine: what descends from its main process, is in its group, or carries its owner tag. Linux only. */
import { readFile } from 'node:fs/promises';
import type { Redactor } from '../../base/redaction.ts';
import type { EvidenceSubject } from '../../contract/ports/evidence.ts';
import type { PartText } from './part-text.ts';

/** What /proc says of processes; `drivers/process` has the real one. */
export interface ProcessTable {
  pids(): number[];
  stat(pid: number): ProcessEntry | undefined;
  /** Of the environment that it was started with. */
  variable(pid: number, name: string): string | undefined;
}

export interface ProcessEntry {
  pid: number;
  /** One letter. */
  state: string;
  parentId: number;
  groupId: number;
  startTicks: number;
}

const PROCESSES_MAX = 64;

export function treeOf(subject: EvidenceSubject, table: ProcessTable): ProcessEntry[] {
  const all = table.pids().flatMap((pid) => table.stat(pid) ?? []);
  const main = all.find(
    ({ pid, startTicks }) => pid === subject.process?.pid && startTicks === subject.process.startTicks,
  );
  const own = new Set(main === undefined ? [] : [main.pid]);
  for (const { pid, groupId } of all) {
    if (main !== undefined && groupId === main.groupId) own.add(pid);
    else if (table.variable(pid, 'AUTOGLM_OWNER')?.startsWith(subject.ownerPrefix)) own.add(pid);
  }
  // Children stand behind their parents in no order that one may rely on.
  for (let found = -1; found !== own.size; ) {
    found = own.size;
    for (const { pid, parentId } of all) if (own.has(parentId)) own.add(pid);
  }
  return all.filter(({ pid }) => own.has(pid)).slice(0, PROCESSES_MAX);
}

/** A table as `ps` prints it: what runs, since when, in which state, how much memory it holds. */
export async function describeProcesses(
  tree: readonly ProcessEntry[],
  { text, redactor, signal }: { text: PartText; redactor: Redactor; signal: AbortSignal },
): Promise<void> {
  text.add('PID PPID PGID STATE THREADS RSS-KIB SWAP-KIB WCHAN NAME COMMAND\n');
  for (const { pid, parentId, groupId, state } of tree) {
    if (signal.aborted) return;
    const status = await readProc(pid, 'status');
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*?)(?: kB)?$`, 'm').exec(status)?.[1] ?? '-';
    const command = redactor.words((await readProc(pid, 'cmdline')).split('\0').filter(Boolean)).join(' ');
    const wchan = (await readProc(pid, 'wchan')) || '-';
    text.add(
      `${[pid, parentId, groupId, state, field('Threads'), field('VmRSS'), field('VmSwap'), wchan, field('Name'), command].join(' ')}\n`,
    );
  }
}

/** Empty where it cannot be read. */
export async function readProc(pid: number, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
