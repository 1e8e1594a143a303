import { expect, it } from 'vitest';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { FileStore } from '../../../contract/ports/file-store.ts';
import { sweepFiles } from './file-sweep.ts';

const HOUR_MS = 3_600_000;

it('takes away bytes that no file names, but none that are older than the database', async () => {
  const removed: string[] = [];
  const files = {
    takeExpired: async () => ['expired'],
    known: async (ids: string[]) => ids.filter((id) => id === 'named'),
    begunAtMs: async () => 5 * HOUR_MS,
  };
  const contents = {
    sweep: async (olderThanAtMs: number) => {
      expect(olderThanAtMs).toBe(9 * HOUR_MS);
      return [
        { id: 'of-a-lost-database', keptAtMs: 4 * HOUR_MS },
        { id: 'named', keptAtMs: 6 * HOUR_MS },
        { id: 'orphan', keptAtMs: 7 * HOUR_MS },
      ];
    },
    remove: async (id: string) => void removed.push(id),
  };
  await sweepFiles({
    stores: { files: files as unknown as FileStore },
    contents: contents as unknown as FileContents,
    clock: { wallMs: () => 10 * HOUR_MS, monotonicMs: () => 0, machineMs: () => 0, sleep: async () => {} },
  });
  expect(removed).toEqual(['expired', 'orphan']);
});
