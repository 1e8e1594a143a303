/**
 * Where the memory cgroup of a process lies and what its files say, for version 1 and version 2 (Linux
 * Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst). Reads small files at once, without waiting.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MemoryCgroup {
  version: 1 | 2;
  /** As the kernel names it, such as `/system.slice/autoglm.service`. */
  path: string;
  /** Folder of its files. */
  folder: string;
  /** Folders of it and of those above it, as far as they are mounted here; a limit of any of them holds. */
  chain: readonly string[];
}

interface Mount {
  version: 1 | 2;
  /** Path within the hierarchy that is mounted; in a container often not `/`. */
  root: string;
  at: string;
}

/** Above this a limit of version 1 means none: the largest number of pages that the kernel can count. */
const NO_LIMIT_BYTES = 2 ** 60;

/** @param mounts text of /proc/self/mountinfo; @param cgroups text of /proc/PID/cgroup. Undefined: there is none. */
export function memoryCgroupOf(mounts: string, cgroups: string): MemoryCgroup | undefined {
  const mounted = memoryMounts(mounts);
  for (const line of cgroups.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.+)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const isV2 = id === '0' && controllers === '';
    if (!isV2 && !controllers?.split(',').includes('memory')) continue;
    const mount = mounted.find(({ version }) => version === (isV2 ? 2 : 1));
    if (mount === undefined) continue;
    const found = locate(mount, path);
    // In a hybrid hierarchy version 2 is there without the controller of memory.
    if (found !== undefined) return found;
  }
  return undefined;
}

function memoryMounts(text: string): Mount[] {
  const mounts = text.split('\n').flatMap((line): Mount[] => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root, at] = left.split(' ');
    const [type, , options = ''] = right.split(' ');
    if (root === undefined || at === undefined) return [];
    if (type === 'cgroup2') return [{ version: 2, root: plain(root), at: plain(at) }];
    if (type !== 'cgroup' || !options.split(',').includes('memory')) return [];
    return [{ version: 1, root: plain(root), at: plain(at) }];
  });
  return mounts.toSorted((a, b) => a.version - b.version);
}

function locate({ version, root, at }: Mount, path: string): MemoryCgroup | undefined {
  const isBelow = root !== '/' && (path === root || path.startsWith(`${root}/`));
  const within = (isBelow ? path.slice(root.length) : path).split('/').filter((part) => part !== '');
  const folders = [at];
  for (const part of within) folders.push(join(folders.at(-1) as string, part));
  const chain = folders.filter((folder) => existsSync(join(folder, eventsFile(version)))).toReversed();
  const [folder] = chain;
  return folder === undefined ? undefined : { version, path, folder, chain };
}

/** mountinfo writes blanks as `\040`. */
function plain(path: string): string {
  return path.replaceAll(/\\(\d{3})/g, (_whole, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function eventsFile(version: 1 | 2): string {
  return version === 2 ? 'memory.events' : 'memory.oom_control';
}

/** Kills for want of memory since the cgroup was made; null: it cannot be read, or the kernel does not count them. */
export function oomKillsOf({ version, folder }: MemoryCgroup): number | null {
  const text = readText(join(folder, eventsFile(version)));
  const [, count] = /^oom_kill (\d+)$/m.exec(text ?? '') ?? [];
  return count === undefined ? null : Number(count);
}

/** The tightest limit of it and of those above; undefined: there is none. */
export function memoryLimitOf({ version, chain }: MemoryCgroup): number | undefined {
  const file = version === 2 ? 'memory.max' : 'memory.limit_in_bytes';
  const limits = chain
    .map((folder) => Number(readText(join(folder, file))?.trim() || Number.NaN))
    .filter((bytes) => Number.isFinite(bytes) && bytes < NO_LIMIT_BYTES);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** In use, less what the kernel would give back first: pages of files that nobody has used lately. */
export function memoryUseOf({ version, folder }: MemoryCgroup): number | undefined {
  const text = readText(join(folder, version === 2 ? 'memory.current' : 'memory.usage_in_bytes'));
  const used = Number(text?.trim() || Number.NaN);
  if (!Number.isFinite(used)) return undefined;
  const stat = readText(join(folder, 'memory.stat')) ?? '';
  const key = version === 2 ? 'inactive_file' : 'total_inactive_file';
  const [, idle = '0'] = new RegExp(`^${key} (\\d+)$`, 'm').exec(stat) ?? [];
  return Math.max(0, used - Number(idle));
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
