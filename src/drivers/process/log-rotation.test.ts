import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogRotation, type LogRotation } from './log-rotation.ts';

let directory: string;
let file: string;
let rotation: LogRotation;
const problems: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-rotation-'));
  file = join(directory, 'engine.log');
  problems.length = 0;
  rotation = createLogRotation({
    bytesMax: 10,
    filesMax: 3,
    onProblem: (_file, problem) => problems.push(problem),
  });
  rotation.watch(file);
});

afterEach(() => {
  rotation.close();
  rmSync(directory, { recursive: true });
});

const text = (suffix = '') => readFileSync(`${file}${suffix}`, 'utf8');

it('leaves a small file, and one that does not exist yet, as they are', async () => {
  await rotation.check();
  appendFileSync(file, '0123456789');
  await rotation.check();
  expect(text()).toBe('0123456789');
  expect(existsSync(`${file}.1`)).toBe(false);
  expect(problems).toEqual([]);
});

it('sets a large file aside, keeps the newest ones and drops the oldest', async () => {
  for (const round of ['first', 'second', 'third', 'fourth']) {
    appendFileSync(file, `${round} 0123456789`);
    await rotation.check();
  }
  expect(text()).toBe('');
  expect(text('.1')).toBe('fourth 0123456789');
  expect(text('.2')).toBe('third 0123456789');
  expect(existsSync(`${file}.3`)).toBe(false);
});

it('does not look at files that are no longer watched', async () => {
  rotation.unwatch(file);
  appendFileSync(file, '0123456789 and more');
  await rotation.check();
  expect(text()).toBe('0123456789 and more');
});
