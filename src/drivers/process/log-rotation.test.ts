import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
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
    formerMax: 2,
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

it('keeps the logs of engines that are there, the newest of those that are gone, and what is no log of an engine', async () => {
  const write = (name: string, atS: number) => {
    writeFileSync(join(directory, name), '');
    utimesSync(join(directory, name), atS, atS);
  };
  write('here-0.log', 1);
  write('watched-0.log', 1);
  write('serve.log', 1);
  for (const [index, name] of ['a-0.log', 'a-0.log.1', 'b-1.log', 'odd-0123abcd.log', 'c-0.log'].entries())
    write(name, 10 + index);
  rotation.watch(join(directory, 'watched-0.log'));
  await rotation.clearFormer(directory, [join(directory, 'here-0.log')]);
  expect(readdirSync(directory).sort()).toEqual(
    ['c-0.log', 'here-0.log', 'odd-0123abcd.log', 'serve.log', 'watched-0.log'].sort(),
  );
  await rotation.clearFormer(join(directory, 'missing'), []);
});
