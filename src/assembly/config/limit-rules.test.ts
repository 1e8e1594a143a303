import { describe, expect, it } from 'vitest';
import { configSchema } from '../../contract/config-schema.ts';
import { PlatformError } from '../../contract/errors.ts';
import { checkLimitCount } from './limit-rules.ts';
import { parseConfig } from './load-config.ts';
import { resolveConfig } from './resolve-config.ts';

const environment = { variables: {}, homeDir: '/home/ada', workDir: '/srv' };
const parse = (text: string) => parseConfig('a.yaml', text, environment);

function complaints(text: string): string[] {
  try {
    parse(text);
  } catch (error) {
    return PlatformError.from(error).message.split('\n');
  }
  return [];
}

const keyWith = (limits: string) => `gateway:\n  keys: [{ name: ci, key: sk-12345678, limits: ${limits} }]\n`;
const MODELS = 'models:\n  - { model_name: a, engine: simulator, aliases: [b] }\n';

describe('limits in the configuration', () => {
  it('reach the gateway for a key, for a key on a model, and for a model', () => {
    const config = parse(`gateway:
  keys:
    - { name: free, key: 12345678-free }
    - name: ci
      key: 12345678-ci
      limits: { requests_per_minute: 600, parallel_requests: 4, models: { b: { tokens_per_minute: 100 }, a: {} } }
models:
  - { model_name: a, engine: simulator, aliases: [b], limits: { tokens_per_minute: 5000 } }
  - { model_name: c, engine: simulator, limits: {} }
`);
    const { gateway, models } = resolveConfig({ file: null, config, environment, notHonoured: [] });
    expect(gateway.keys.map(({ limits, modelLimits }) => ({ limits, modelLimits }))).toEqual([
      { limits: undefined, modelLimits: undefined },
      {
        limits: { requestsPerMinute: 600, tokensPerMinute: undefined, parallelRequests: 4 },
        modelLimits: { b: { tokensPerMinute: 100 } },
      },
    ]);
    expect(models.map(({ limits }) => limits)).toEqual([{ tokensPerMinute: 5000 }, undefined]);
  });

  it.each([
    [
      'requests_per_minute: 0',
      'limits.requests_per_minute: found 0; would be right: an integer from 1 to 1000000000',
    ],
    ['tokens_per_minute: many', 'limits.tokens_per_minute: found "many"; would be right: an integer'],
    ['rpm: 5', 'limits.rpm: this key is not known'],
    ['models: { a: { tpm: 5 } }', 'limits.models.a.tpm: this key is not known'],
    ['models: { a: 5 }', 'limits.models.a: found 5; would be right: a map with the keys requests_per_minute'],
    ['models: [a]', 'limits.models: found a list of 1; would be right: a map of names to maps'],
    [
      'models: { c: { requests_per_minute: 5 } }',
      'limits.models.c: found "c", which is no model here; known: a, b',
    ],
  ])('are refused in so many words: %s', (written, expected) => {
    expect(complaints(`${keyWith(`{ ${written} }`)}${MODELS}`)).toEqual([expect.stringContaining(expected)]);
  });

  it('are counted in Redis where the file says so', () => {
    const store = (text: string) => {
      const config = parse(text);
      const { gateway } = resolveConfig({ file: null, config, environment, notHonoured: [] });
      return [gateway.limitStore, gateway.redis?.url];
    };
    expect(store('')).toEqual(['memory', undefined]);
    const url = 'redis://a:1';
    expect(store(`limits: { store: redis }\nredis: { url: "${url}" }\n`)).toEqual(['redis', url]);
  });

  it('are no more than the threads of a gateway have places for', () => {
    const keys = (count: number) =>
      Array.from({ length: count }, (_, n) => ({
        name: `k${n}`,
        key: '12345678',
        limits: { requests_per_minute: 1, models: { a: { requests_per_minute: 1 } } },
      }));
    const problems = (count: number) =>
      checkLimitCount(configSchema.parse({ gateway: { keys: keys(count) } }));
    expect(problems(8_192)).toEqual([]);
    expect(problems(8_193)).toEqual([
      {
        path: ['gateway', 'keys'],
        message:
          'found limits for 16386 keys, models of keys, and models together; would be right: at most 16384',
      },
    ]);
  });
});
