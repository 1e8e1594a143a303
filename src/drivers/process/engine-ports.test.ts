import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  expect(await ports.read(file)).toBeNull();
  leavePort(file, 40_123);
  expect(await ports.read(file)).toBe(40_123);
  leavePort(file, 40_124);
  expect(await ports.read(file)).toBe(40_124);
  await ports.remove(file);
  symlinkSync('40125', file);
  expect(await ports.read(file)).toBe(40_125);
  await ports.remove(file);
  writeFileSync(file, 'no port\n');
  expect(await ports.read(file)).toBeNull();
  expect(ports.fileFor('demo/0', 2)).not.toBe(join(directory, file));
});
