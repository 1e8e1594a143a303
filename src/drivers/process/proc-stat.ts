/**
 * Reads what /proc says about a process. Linux only; on other systems nothing is found.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type ProcStat, parseProcStat } from '../../wire/proc/proc-stat.ts';

export function readProcStat(pid: number): ProcStat | undefined {
  try {
    return parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

/** The value of a variable in the environment that the process was started with; only of processes of our user. */
export function readProcVariable(pid: number, name: string): string | undefined {
  try {
    const prefix = `${name}=`;
    const entry = readFileSync(`/proc/${pid}/environ`, 'utf8')
      .split('\0')
      .find((line) => line.startsWith(prefix));
    return entry?.slice(prefix.length);
  } catch {
    return undefined;
  }
}

export function listPids(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}
