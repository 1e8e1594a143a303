import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createEnginePorts, leavePort } from './engine-ports.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-ports-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('reads the port that an engine left, as a file or on a full disk as a link, and nothing else', async () => {
  const ports = createEnginePorts(directory);
  const file = ports.fileFor('demo/0', 1);
  expect(await ports.prepare('demo/0', 1)).toBe(file);
  expect(await ports.read(file)).toBeNull();
  leavePort(file, 40_123);
  expect(await ports.read(file)).toBe(40_123);
  leavePort(file, 40_124);
  expect(await ports.read(file)).toBe(40_124);
  await ports.prepare('demo/0', 1);
  symlinkSync('40125', file);
  expect(await ports.read(file)).toBe(40_125);
  await ports.prepare('demo/0', 1);
  writeFileSync(file, 'no port\n');
  expect(await ports.read(file)).toBeNull();
  expect(ports.fileFor('demo/0', 2)).not.toBe(join(directory, file));
});

it('keeps one file of each replica that is still wanted, and none of the others', async () => {
  const ports = createEnginePorts(directory);
  for (const generation of [1, 2, 3]) {
    for (const id of ['demo/0', 'demo/1']) leavePort((await ports.prepare(id, generation)) as string, 40_000);
  }
  expect(readdirSync(directory)).toHaveLength(2);
  await ports.keepOnly(['demo/1', 'never/0']);
  expect(readdirSync(directory)).toEqual([basename(ports.fileFor('demo/1', 3))]);
});

it('says when nothing can be left', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const ports = createEnginePorts(join(file, 'ports'));
  expect(await ports.prepare('demo/0', 1)).toBeNull();
  await ports.keepOnly([]);
});
