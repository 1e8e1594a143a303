/**
 * Keeps log files of other processes within bounds, by copying and truncating: the writer keeps its open file. What it
 * writes between the two is lost, a few lines at most; it must have opened the file for append. One timer for all files,
 * and only while any is watched. Of files that nobody writes any more the newest are kept.
 */
import { copyFile, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';

export interface LogRotationOptions {
  /** Size at which a file is set aside. */
  bytesMax?: number;
  /** Files kept in all, the present one included. */
  filesMax?: number;
  checkIntervalMs?: number;
  /** Logs of engines that are gone. */
  formerMax?: number;
  onProblem(file: string, problem: string): void;
}

export interface LogRotation {
  watch(file: string): void;
  unwatch(file: string): void;
  /**
   * Of the logs of engines in a folder, those that are neither watched nor named in `current` were of engines that are gone:
   * the newest of them stay.
   */
  clearFormer(directory: string, current: readonly string[]): Promise<void>;
  /** Looks at all files now. */
  check(): Promise<void>;
  close(): void;
}

export function createLogRotation({
  bytesMax = 16 * 1024 * 1024,
  filesMax = 3,
  checkIntervalMs = 5_000,
  formerMax = 16,
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
    clearFormer: async (directory, current) => {
      const former = await formerLogs(directory, new Set([...watched, ...current]));
      const files = former.slice(formerMax).flatMap((log) => log.files);
      // What can not be removed does no harm.
      await Promise.all(files.map((file) => rm(file, { force: true }).catch(() => {})));
    },
    check,
    close: () => {
      watched.clear();
      stopTimer();
    },
  };
}

/** `<replica>.log`, and older parts of it; how a replica's file is named says the supervisor. */
const ENGINE_LOG = /^(.+-(?:\d+|[0-9a-f]{8})\.log)(?:\.\d+)?$/;

interface FormerLog {
  files: string[];
  newestMs: number;
}

/** The newest first, each with its older parts. */
async function formerLogs(directory: string, current: ReadonlySet<string>): Promise<FormerLog[]> {
  const former = new Map<string, FormerLog>();
  for (const name of await readdir(directory).catch(() => [])) {
    const base = ENGINE_LOG.exec(name)?.[1];
    if (base === undefined || current.has(join(directory, base))) continue;
    const file = join(directory, name);
    const writtenMs = (await stat(file).catch(() => null))?.mtimeMs ?? 0;
    const log = former.get(base) ?? { files: [], newestMs: 0 };
    log.files.push(file);
    log.newestMs = Math.max(log.newestMs, writtenMs);
    former.set(base, log);
  }
  return [...former.values()].sort((a, b) => b.newestMs - a.newestMs);
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
