import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openFenceFile } from './fence-file.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'autoglm-fence-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('is held by the latest alone, however many took it before', async () => {
  const store = openFenceFile(join(root, 'fence'));
  const holders = [
    await store.take('a'),
    await store.take('b'),
    await store.take('c'),
    await store.take('d'),
  ];
  expect(holders.map(({ number }) => number)).toEqual([1, 2, 3, 4]);
  expect(holders.map((fence) => fence.isHeld())).toEqual([false, false, false, true]);
});

it('gives no number twice to those who ask at once', async () => {
  const fences = await Promise.all(
    Array.from({ length: 20 }, (_, index) => openFenceFile(join(root, 'fence')).take(`p${index}`)),
  );
  expect(new Set(fences.map(({ number }) => number)).size).toBe(20);
  expect(fences.filter((fence) => fence.isHeld())).toHaveLength(1);
});

it('is kept when the folder is gone: nobody has taken over', async () => {
  const fence = await openFenceFile(join(root, 'fence')).take('a');
  rmSync(join(root, 'fence'), { recursive: true });
  expect(fence.isHeld()).toBe(true);
});
