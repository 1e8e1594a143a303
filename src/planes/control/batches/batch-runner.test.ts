import { expect, it, vi } from 'vitest';
import { systemClock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { BatchStore } from '../../../contract/ports/batch-store.ts';
import type { FileContents } from '../../../contract/ports/file-contents.ts';
import type { FileStore } from '../../../contract/ports/file-store.ts';
import { BatchRunner } from './batch-runner.ts';

it('says once that storage is away, and again when it goes away again', async () => {
  let asked = 0;
  let isAway = true;
  const ask = async <T>(value: T): Promise<T> => {
    asked++;
    if (isAway) throw new PlatformError('storage_unavailable', 'the disk hangs');
    return value;
  };
  const batches: Partial<BatchStore> = { claim: () => ask([]) };
  const files: Partial<FileStore> = { takeExpired: () => ask([]), begunAtMs: () => ask(0) };
  const logged: string[] = [];
  let nowMs = 0;
  const runner = new BatchRunner({
    holder: 'a',
    stores: { batches: batches as BatchStore, files: files as FileStore },
    contents: { sweep: async () => [] } as Partial<FileContents> as FileContents,
    sender: { send: () => ({ abort: () => {} }) },
    clock: {
      wallMs: () => nowMs,
      monotonicMs: () => nowMs,
      machineMs: () => nowMs,
      sleep: (ms) => {
        nowMs += ms;
        return systemClock.sleep(0);
      },
    },
    rules: { linesMax: 1, lineBytesMax: 1, isKnownModel: () => true },
    inFlightMax: 1,
    log: (_level, message) => void logged.push(message),
  });
  runner.start();
  const rounds = async (count: number) => {
    const from = asked;
    await vi.waitUntil(() => asked >= from + count);
  };
  await rounds(10);
  expect(logged).toEqual(['batches cannot be looked after']);
  isAway = false;
  await rounds(2);
  isAway = true;
  await rounds(10);
  expect(logged).toHaveLength(2);
  await runner.close();
});
