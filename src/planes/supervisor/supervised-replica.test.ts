import { expect, it } from 'vitest';
import { fileNameOf, supervisedReplicas } from './supervised-replica.ts';
import type { SupervisedModel } from './supervisor-options.ts';

const model: SupervisedModel = {
  modelName: 'org/demo',
  aliases: [],
  engine: 'vllm',
  servedModel: 'demo',
  urls: undefined,
  engineKey: undefined,
  perUrl: [],
  fallbacks: [],
  replicas: 2,
  model: 'demo',
  command: undefined,
  env: {},
  maxBatchSize: undefined,
  maxSeqLength: undefined,
  threads: undefined,
  startTimeoutMs: 1_000,
};

const hashOf = (more: Partial<SupervisedModel> = {}) =>
  supervisedReplicas([{ ...model, ...more }], new Map())[0]!.spec.launchHash;

it('makes a replica of each ordinal, or of each address', () => {
  expect(
    supervisedReplicas([model], new Map()).map(({ spec }) => [spec.id, spec.managed], new Map()),
  ).toEqual([
    ['org/demo/0', true],
    ['org/demo/1', true],
  ]);
  const watched = supervisedReplicas([{ ...model, urls: ['http://a', 'http://b', 'http://c'] }], new Map());
  expect(watched.map(({ spec }) => spec.url)).toEqual(['http://a', 'http://b', 'http://c']);
});

it('knows a change that needs another start from one that does not', () => {
  expect(hashOf({ aliases: ['x'], replicas: 9, startTimeoutMs: 5 })).toBe(hashOf());
  const changes: Partial<SupervisedModel>[] = [
    { model: 'other' },
    { command: ['x'] },
    { env: { A: 'b' } },
    { maxBatchSize: 4 },
    { maxSeqLength: 4096 },
    { threads: 2 },
    { engine: 'sglang' },
    { servedModel: 'x' },
  ];
  const hashes = new Set([{}, ...changes].map(hashOf));
  expect(hashes.size).toBe(changes.length + 1);
  expect(hashOf({ env: { A: '1', B: '2' } })).toBe(hashOf({ env: { B: '2', A: '1' } }));
});

it('makes file names that stay where they belong, and are different for different replicas', () => {
  expect(fileNameOf('inference-ops-demo/0')).toBe('inference-ops-demo-0');
  const ids = [
    '../../etc/passwd/0',
    '..',
    '/0',
    'a/b/0',
    'a-b/0',
    'a b/0',
    'a\0b/0',
    `${'x'.repeat(500)}/0`,
    'ä/0',
    '.hidden/0',
  ];
  const names = ids.map(fileNameOf);
  expect(new Set(names).size).toBe(ids.length);
  for (const name of names) expect(name).toMatch(/^(?!\.\.?$)[A-Za-z0-9._-]{1,120}$/);
});
