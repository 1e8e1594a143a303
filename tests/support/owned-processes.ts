/** Processes of a state directory, by their command lines: whoever is left of a system that should be gone. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isAlive } from './system-under-test.ts';

export interface FoundProcess {
  pid: number;
  command: string;
}

export function processesAt(directory: string): FoundProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const command = commandLine(name);
      return command.includes(directory) && isAlive(Number(name)) ? [{ pid: Number(name), command }] : [];
    });
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Local addresses at which a process listens for TCP, such as `0100007F` for 127.0.0.1. */
export function listeningHosts(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => /^socket:\[(\d+)\]$/.exec(linkOf(pid, fd))?.[1] ?? []),
  );
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'latin1')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((row) => row[3] === '0A' && inodes.has(row[9] ?? ''))
      .map((row) => row[1]?.split(':')[0] ?? ''),
  );
}

function linkOf(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return '';
  }
}
