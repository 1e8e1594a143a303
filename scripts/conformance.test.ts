import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { ENGINE_KINDS } from '../src/contract/fleet.ts';

const refusalOf = (...args: string[]) => {
  const script = resolve(import.meta.dirname, 'conformance.ts');
  const { status, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  expect(status).toBe(2);
  return stderr.split('\n')[0];
};

it('takes every kind of engine that is not part of this package', () => {
  const kinds = ENGINE_KINDS.filter((kind) => kind !== 'embedded' && kind !== 'simulator');
  expect(refusalOf('--engine', 'nope')).toBe(`--engine: found 'nope'; known: ${kinds.join(', ')}`);
});

it('says what it lacks before anything runs', () => {
  expect(refusalOf('--engine', 'openai', '--program', 'x', '--model', 'y')).toBe(
    '--engine openai wants --url',
  );
  expect(refusalOf('--engine', 'vllm')).toBe('--engine vllm wants --url, or --program with --model');
  expect(refusalOf('--engine', 'triton', '--url', 'x')).toMatch(/^--engine triton wants --model/);
  expect(refusalOf('--engine', 'triton', '--protocol', 'rest')).toMatch(/^--protocol: found 'rest'; known: /);
  expect(refusalOf('--engine', 'vllm', '--protocol', 'openai')).toMatch(/^--protocol is for/);
});
