/** A folder that reads like /proc, with the processes that a test puts into it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface PretendProcess {
  pid: number;
  name?: string;
  state?: string;
  parentId?: number;
  groupId?: number;
  startTicks?: number;
  cpuTicks?: number;
  owner?: string;
  /** Words of the command line. */
  command?: string[];
  /** Path of the program. */
  program?: string;
  rssKib?: number;
  sharedKib?: number;
  /** Text of /proc/PID/cgroup. */
  cgroup?: string;
  environment?: Record<string, string>;
}

export class PretendProc {
  readonly root = mkdtempSync(join(tmpdir(), 'autoglm-proc-'));

  set(process: PretendProcess): void {
    const { pid, name = 'python3', state = 'S', parentId = 1, groupId = pid, owner } = process;
    const { startTicks = 1000 + pid, cpuTicks = 0, command = [name], program = `/usr/bin/${name}` } = process;
    const folder = join(this.root, String(pid));
    this.remove(pid);
    mkdirSync(join(folder, 'fd'), { recursive: true });
    const stat = `${pid} (${name}) ${state} ${parentId} ${groupId} ${groupId} 0 -1 4194560 1 0 0 0 ${cpuTicks} 0 0 0 20 0 7 0 ${startTicks} 99 1 18446744073709551615 0 0\n`;
    const { rssKib = 1024, sharedKib = 0, cgroup = '0::/\n', environment = {} } = process;
    const variables = Object.entries({ PATH: '/bin', ...environment }).map(
      ([key, value]) => `${key}=${value}`,
    );
    if (owner !== undefined) variables.push(`AUTOGLM_OWNER=${owner}`);
    writeFileSync(join(folder, 'stat'), stat);
    writeFileSync(
      join(folder, 'status'),
      `Name:\t${name}\nPid:\t${pid}\nVmRSS:\t${String(rssKib).padStart(8)} kB\nRssShmem:\t${String(sharedKib).padStart(8)} kB\n`,
    );
    writeFileSync(join(folder, 'environ'), `${variables.join('\0')}\0`);
    writeFileSync(join(folder, 'cmdline'), `${command.join('\0')}\0`);
    writeFileSync(join(folder, 'cgroup'), cgroup);
    symlinkSync(program, join(folder, 'exe'));
  }

  remove(pid: number): void {
    rmSync(join(this.root, String(pid)), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A replica whose engine is the process 100 in its first start. */
export function pretendSubject(over: Record<string, unknown> = {}) {
  return {
    replica: 'm/0',
    generation: 2,
    engine: 'vllm',
    process: { pid: 100, startTicks: 1100 },
    ownerPrefix: 'abc:replica:m/0#',
    url: 'http://127.0.0.1:8000',
    startedAtMs: 0,
    ...over,
  };
}
