/** A file system of a few kilobytes on a directory, and what takes its last byte. Mounting needs the right to do it. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `options` as of `mount -t tmpfs -o`. Throws where it may not be mounted. */
export function mountSmall(directory: string, options: string): Disposable {
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`no file system could be mounted on ${directory}: ${stderr}`);
  return {
    // Lazily: whoever still has a file open there ends later.
    [Symbol.dispose]: () => void spawnSync('umount', ['-l', directory]),
  };
}

/** Root in a container may not mount either, so it is tried. */
export function mayMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'autoglm-mount-'));
  try {
    mountSmall(directory, 'size=64k')[Symbol.dispose]();
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(directory);
  }
}

/** Writes until there is no byte left. */
export function fill(file: string): void {
  const fd = openSync(file, 'w');
  const block = Buffer.alloc(4096);
  try {
    while (writeSync(fd, block) > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(fd);
  }
}
