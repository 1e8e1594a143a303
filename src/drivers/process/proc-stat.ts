/**
 * What /proc says about a process. Pure reading and parsing, Linux only; on other systems nothing is found.
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcStat {
  pid: number;
  /** One letter; Z and X are dead. */
  state: string;
  parentId: number;
  /** Process group: the pid of its leader. */
  groupId: number;
  /** Clock ticks from boot to the start of the process. */
  startTicks: number;
}

/** Parses /proc/PID/stat. The command stands in parentheses and may itself hold blanks and parentheses. */
export function parseProcStat(text: string): ProcStat | undefined {
  const open = text.indexOf(' (');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  // Fields 3 and on, numbered from 1 in proc(5).
  const fields = text
    .slice(close + 2)
    .trim()
    .split(' ');
  const field = (number: number) => fields[number - 3];
  const stat = {
    pid: Number(text.slice(0, open)),
    state: field(3) ?? '',
    parentId: Number(field(4)),
    groupId: Number(field(5)),
    startTicks: Number(field(22)),
  };
  return Number.isSafeInteger(stat.pid) && Number.isSafeInteger(stat.startTicks) ? stat : undefined;
}

export function readProcStat(pid: number): ProcStat | undefined {
  try {
    return parseProcStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

export function isDead({ state }: ProcStat): boolean {
  return state === 'Z' || state === 'X' || state === 'x';
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
