import { describe, expect, it } from 'vitest';
import { Secret } from '../../base/secret.ts';
import { poolCache } from './model-revision.ts';
import type { SupervisedModel } from './supervisor-options.ts';

const model: SupervisedModel = {
  modelName: 'm',
  aliases: [],
  engine: 'vllm',
  servedModel: 'm',
  urls: undefined,
  engineKey: undefined,
  perUrl: [],
  fallbacks: [],
  replicas: 1,
  model: 'org/weights',
  command: undefined,
  env: {},
  maxBatchSize: undefined,
  maxSeqLength: undefined,
  threads: undefined,
  loraAdapters: [
    { name: 'sql', path: '/a' },
    { name: 'poem', path: '/b' },
  ],
  startTimeoutMs: 1,
  cache: { mode: 'always', ttlMs: 1, sampled: false, endpoints: ['chat'], revision: undefined },
};
const revision = (change: Partial<SupervisedModel> = {}) => poolCache({ ...model, ...change })?.revision;

describe('poolCache', () => {
  it.each<[string, Partial<SupervisedModel>]>([
    ['weights', { model: 'org/other' }],
    ['quantization', { quantize: 'INT8' }],
    ['an argument of the engine', { args: ['--enforce-eager'] }],
    ['the name that the engine knows', { servedModel: 'n' }],
    ['where it runs', { urls: ['http://a'] }],
    ['the chat template', { chatTemplate: { source: 'x', eosToken: '' } }],
    [
      'what the user says',
      { cache: { ...(model.cache as object), revision: '2' } as SupervisedModel['cache'] },
    ],
  ])('is another revision with other %s', (_name, change) => expect(revision(change)).not.toBe(revision()));

  it.each<[string, Partial<SupervisedModel>]>([
    ['replicas', { replicas: 3 }],
    ['width', { maxBatchSize: 3, threads: 4 }],
    ['aliases and fallbacks', { aliases: ['a'], fallbacks: ['b'] }],
    ['the key of the engine', { engineKey: new Secret('x') }],
    ['adapters', { loraAdapters: [] }],
  ])('is the same revision with other %s', (_name, change) => expect(revision(change)).toBe(revision()));

  it('has a revision for each adapter, which its path decides', () => {
    const one = poolCache(model)?.adapterRevisions ?? {};
    const other =
      poolCache({ ...model, loraAdapters: [{ name: 'sql', path: '/c' }] })?.adapterRevisions ?? {};
    expect(one.sql).not.toBe(one.poem);
    expect(one.sql).not.toBe(other.sql);
  });

  it('is nothing where answers are not kept', () => {
    const { cache: _none, ...without } = model;
    expect(poolCache(without)).toBeUndefined();
  });
});
