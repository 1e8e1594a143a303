/** A cgroup with a limit of memory, of version 1 or 2, for tests in which the kernel kills. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Or why there can be none here. */
export function memoryCgroup(name: string, limitBytes: number): { folder: string } | { reason: string } {
  const v1 = '/sys/fs/cgroup/memory';
  const isV1 = existsSync(join(v1, 'memory.limit_in_bytes'));
  const at = join(isV1 ? v1 : '/sys/fs/cgroup', name);
  try {
    mkdirSync(at);
    writeFileSync(join(at, isV1 ? 'memory.limit_in_bytes' : 'memory.max'), String(limitBytes));
    return { folder: at };
  } catch (error) {
    if (existsSync(at)) rmdirSync(at);
    return { reason: `no cgroup with a limit of memory can be made here: ${(error as Error).message}` };
  }
}

/** As soon as its last process is reaped. */
export async function removeCgroup(cgroup: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      return rmdirSync(cgroup);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
