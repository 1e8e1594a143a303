/**
 * Writes a file so that a reader, also after a power cut, sees the old content or the new one, never half of one: a temporary
 * file is written and synced, then renamed, then the directory is synced. The temporary file goes when that fails.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

export async function writeWholeFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * The same for a file that is written often and can be done without: at once, in a folder that is made when it is missing, and
 * never waiting for the disk, so after a power cut it may be empty.
 */
export function replaceFileSync(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    throw error;
  }
}

/** On a read-only disk even removing what is not there fails. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What could not be written is not there either.
  }
}

/** Some file systems refuse to sync a directory; the rename itself has happened then. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } catch {
    // Nothing better is possible on this file system.
  } finally {
    await directory.close();
  }
}
