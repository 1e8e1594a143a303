/**
 * The pretend GPU memory: a file of pids, one a line, that hold it. A simulator that finds a living one there can not start,
 * as an engine that finds the memory taken by an orphan.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';

/** Takes the memory for this process; the pid of who holds it when it is taken. */
export function takeGpuMemory(file: string): { heldBy: number } | undefined {
  const holders = readHolders(file).filter((pid) => pid !== process.pid && isAlive(pid));
  if (holders[0] !== undefined) return { heldBy: holders[0] };
  writeFileSync(file, `${process.pid}\n`);
  return undefined;
}

/** Another process of ours holds it too. */
export function shareGpuMemory(file: string, pid: number): void {
  appendFileSync(file, `${pid}\n`);
}

function readHolders(file: string): number[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid > 0);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return !isZombie(pid);
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}
