/**
 * Processor time and memory of a process and its children, from /proc (Linux). Nanoseconds come from `schedstat` of every thread, which
 * `process.cpuUsage` rounds and which is all there is for other programs.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** The process and all that descend from it. */
export function processTree(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const child = Number(name);
    if (!Number.isInteger(child)) continue;
    const parent = parentOf(child);
    if (parent !== null) parents.set(child, parent);
  }
  const tree = new Set([pid]);
  for (let before = 0; before < tree.size; ) {
    before = tree.size;
    for (const [child, parent] of parents) if (tree.has(parent)) tree.add(child);
  }
  return [...tree];
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

/** CPU time of all threads so far, in microseconds. */
export function cpuUs(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        sum += parseSchedstat(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'));
      } catch {
        // A thread that ended between the two reads; it is in neither sum.
      }
    }
  }
  return sum;
}

/** Microseconds on a processor: the first of the three figures, which is in nanoseconds. */
export function parseSchedstat(text: string): number {
  return Number(text.split(' ')[0]) / 1000;
}

/** Resident memory, MB. */
export function residentMb(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const kb = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return sum + Number(kb ?? 0) / 1024;
  }, 0);
}
