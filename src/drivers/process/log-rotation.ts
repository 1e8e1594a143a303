/**
 * Keeps log files of other processes within bounds, by copying and truncating: the writer keeps its open file. What it
 * writes between the two is lost, a few lines at most; it must have opened the file for append. One timer for all files,
 * and only while any is watched.
 */
import { copyFile, rename, rm, stat, truncate } from 'node:fs/promises';

export interface LogRotationOptions {
  /** Size at which a file is set aside. */
  bytesMax?: number;
  /** Files kept in all, the present one included. */
  filesMax?: number;
  checkIntervalMs?: number;
  onProblem(file: string, problem: string): void;
}

export interface LogRotation {
  watch(file: string): void;
  unwatch(file: string): void;
  /** Looks at all files now. */
  check(): Promise<void>;
  close(): void;
}

export function createLogRotation({
  bytesMax = 16 * 1024 * 1024,
  filesMax = 3,
  checkIntervalMs = 5_000,
  onProblem,
}: LogRotationOptions): LogRotation {
  const watched = new Set<string>();
  let timer: NodeJS.Timeout | null = null;
  let checking: Promise<void> | null = null;
  const checkAll = async () => {
    for (const file of watched) {
      try {
        if ((await sizeOf(file)) > bytesMax) await setAside(file, filesMax);
      } catch (error) {
        onProblem(file, error instanceof Error ? error.message : String(error));
      }
    }
  };
  const check = () => {
    checking ??= checkAll().finally(() => {
      checking = null;
    });
    return checking;
  };
  const stopTimer = () => {
    if (timer !== null) clearInterval(timer);
    timer = null;
  };
  return {
    watch: (file) => {
      watched.add(file);
      timer ??= setInterval(check, checkIntervalMs).unref();
    },
    unwatch: (file) => {
      watched.delete(file);
      if (watched.size === 0) stopTimer();
    },
    check,
    close: () => {
      watched.clear();
      stopTimer();
    },
  };
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

async function setAside(file: string, filesMax: number): Promise<void> {
  const older = (age: number) => `${file}.${age}`;
  await rm(older(filesMax - 1), { force: true });
  for (let age = filesMax - 2; age >= 1; age--) await renameIfThere(older(age), older(age + 1));
  try {
    if (filesMax > 1) await copyFile(file, older(1));
  } finally {
    // Also when the copy failed, most likely for want of space: an engine that fills the disk is worse than a lost log.
    await truncate(file, 0);
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
