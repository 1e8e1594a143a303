/**
 * Renames a corrupt database, with its log, so that people can look at it and a new one can be begun. Of several processes
 * that find the same damage one does it: the lock is an exclusive transaction on a file beside it, which the system lets go
 * when its holder dies.
 */
import { renameSync, statSync } from 'node:fs';
import { DatabaseSync } from './node-sqlite.ts';

const LOCK_TIMEOUT_MS = 2_000;

/** Which file a path names; 0 when there is none. */
export function inodeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.ino ?? 0;
}

/** The new name; null when the path names another file than `inode` by now. Throws when it cannot be renamed. */
export function setAside(file: string, inode: number, nowMs: number): string | null {
  // The lock file stays: one that is removed would be locked twice, by its old and its new file.
  const lock = new DatabaseSync(`${file}.lock`, { timeout: LOCK_TIMEOUT_MS });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    if (inodeOf(file) !== inode) return null;
    const aside = `${file}.corrupt-${nowMs}`;
    // The log first: a new database beside an old log would take the old pages over.
    for (const suffix of ['-wal', '-shm', '']) {
      try {
        renameSync(`${file}${suffix}`, `${aside}${suffix}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    return aside;
  } finally {
    lock.close();
  }
}
