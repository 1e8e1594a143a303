/**
 * Who listens on a TCP port of this machine, for messages about ports in use. Reads /proc, so it knows nothing on other
 * systems, and only the names of processes that this user may see.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface PortHolder {
  pid: number;
  /** The command line, shortened. */
  command: string;
}

const COMMAND_CHARACTERS_MAX = 120;
/** State LISTEN in /proc/net/tcp. */
const LISTENING = '0A';

export function findPortHolder(port: number): PortHolder | undefined {
  const inodes = new Set([...listenInodes('/proc/net/tcp', port), ...listenInodes('/proc/net/tcp6', port)]);
  if (inodes.size === 0) return undefined;
  for (const pid of processIds()) {
    if (holdsSocket(pid, inodes)) return { pid, command: commandOf(pid) };
  }
  return undefined;
}

/** "pid 123 (node server.js)", or what there is to say when the process cannot be seen. */
export function describePortHolder(port: number): string {
  const holder = findPortHolder(port);
  return holder === undefined ? 'another process' : `pid ${holder.pid} (${holder.command})`;
}

function listenInodes(table: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return read(table)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(wanted) && state === LISTENING)
    .map((fields) => fields[9] ?? '');
}

function processIds(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function holdsSocket(pid: number, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
      const target = linkOf(`/proc/${pid}/fd/${descriptor}`);
      return target.startsWith('socket:[') && inodes.has(target.slice(8, -1));
    });
  } catch {
    // Another user's process, or one that has ended.
    return false;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function commandOf(pid: number): string {
  const text = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return text.length > COMMAND_CHARACTERS_MAX ? `${text.slice(0, COMMAND_CHARACTERS_MAX)}...` : text;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
