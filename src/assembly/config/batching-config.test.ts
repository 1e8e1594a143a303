/** `batching` of a model, on its way from the file to gateways. */
import { describe, expect, it } from 'vitest';
import { PlatformError } from '../../contract/errors.ts';
import { parseConfig } from './load-config.ts';
import { resolveConfig } from './resolve-config.ts';

function batchingOf(model: string) {
  const environment = { variables: {}, homeDir: '/home/u', workDir: '/work' };
  const config = parseConfig('a.yaml', `models:\n  - { model_name: a, ${model} }`, environment);
  return resolveConfig({ file: null, config, environment, notHonoured: [] }).models[0]?.batching;
}

function complaint(model: string): string {
  try {
    batchingOf(model);
  } catch (error) {
    if (error instanceof PlatformError) return error.message;
    throw error;
  }
  throw new Error('expected a complaint');
}

describe('batching', () => {
  it('is off unless the model has the key', () => {
    expect(batchingOf('engine: simulator')).toBeUndefined();
  });

  it('has a default for each setting', () => {
    expect(batchingOf('engine: simulator, batching: {}')).toEqual({
      unitsMax: 64,
      waitMaxMs: 5,
      endpoints: ['embeddings', 'rerank', 'score', 'classify'],
    });
  });

  it('takes max_batch_size as it is written, beside that of the replicas', () => {
    const settings = '{ max_batch_size: 16, max_wait_ms: 2.5, endpoints: [embeddings] }';
    expect(batchingOf(`engine: simulator, max_batch_size: 8, batching: ${settings}`)).toEqual({
      unitsMax: 16,
      waitMaxMs: 2.5,
      endpoints: ['embeddings'],
    });
  });

  it.each([
    ['batching: { max_batch_size: 1 }', 'batching.max_batch_size: found 1'],
    ['batching: { max_wait_ms: -1 }', 'batching.max_wait_ms: found -1'],
    ['batching: { endpoints: [chat] }', 'batching.endpoints[0]: found "chat"'],
    ['batching: { max_size: 4 }', 'max_size'],
  ])('says what is wrong with %s', (model, message) => {
    expect(complaint(`engine: simulator, ${model}`)).toContain(message);
  });

  it('is refused for KServe servers, which are asked input by input', () => {
    const server = 'engine: triton, urls: ["http://a:8000"]';
    expect(batchingOf(`${server}, batching: {}`)).toBeDefined();
    expect(complaint(`${server}, protocol: kserve-http, batching: {}`)).toContain('dynamic_batching');
  });
});
