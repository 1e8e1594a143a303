/** The line of /proc/PID/stat, as proc(5) describes it. */

export interface ProcStat {
  pid: number;
  /** At most 15 bytes, and whatever the process calls itself. */
  name: string;
  /** One letter; Z and X are dead. */
  state: string;
  parentId: number;
  /** Process group: the pid of its leader. */
  groupId: number;
  /** Clock ticks from boot to the start of the process. */
  startTicks: number;
  /** Clock ticks of all its threads on a processor, in user and kernel mode; those of ended children are not among them. */
  cpuTicks: number;
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
    name: text.slice(open + 2, close),
    state: field(3) ?? '',
    parentId: Number(field(4)),
    groupId: Number(field(5)),
    startTicks: Number(field(22)),
    cpuTicks: Number(field(14)) + Number(field(15)),
  };
  return Number.isSafeInteger(stat.pid) && Number.isSafeInteger(stat.startTicks) ? stat : undefined;
}

export function isDead({ state }: ProcStat): boolean {
  return state === 'Z' || state === 'X' || state === 'x';
}
