/**
 * The fence of a machine: one file for each number, made only if it is not there, which the file system does for one of two that
 * try. The latest holds. Where the folder is gone nobody can have taken over.
 */
import { readdirSync } from 'node:fs';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FenceStore } from '../../contract/ports/fence.ts';

export function openFenceFile(directory: string): FenceStore {
  return {
    take: async (owner) => {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const number = await takeNext(directory, owner);
      await removeBefore(directory, number - 1);
      return { number, isHeld: () => latest(directory) <= number };
    },
  };
}

function latest(directory: string): number {
  try {
    return Math.max(0, ...readdirSync(directory).filter(isNumber).map(Number));
  } catch {
    return 0;
  }
}

function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}

async function takeNext(directory: string, owner: string): Promise<number> {
  for (;;) {
    const number = Math.max(0, ...(await numbersIn(directory))) + 1;
    try {
      const file = await open(join(directory, String(number)), 'wx', 0o600);
      try {
        await file.writeFile(`${owner}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      return number;
    } catch (error) {
      // Another one was faster.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

async function numbersIn(directory: string): Promise<number[]> {
  return (await readdir(directory)).filter(isNumber).map(Number);
}

/** The one before stays: its holder may look for it. What cannot be removed does no harm. */
async function removeBefore(directory: string, number: number): Promise<void> {
  const old = (await numbersIn(directory)).filter((known) => known < number);
  await Promise.all(old.map((known) => rm(join(directory, String(known)), { force: true }).catch(() => {})));
}
