/** What the configuration says about the response cache and Redis, on its way to gateways and supervisor. */
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PlatformError } from '../../contract/errors.ts';
import { parseConfig } from './load-config.ts';
import { type ResolvedConfig, resolveConfig } from './resolve-config.ts';

function resolved(text: string, variables: Record<string, string> = {}): ResolvedConfig {
  const environment = { variables, homeDir: '/home/u', workDir: '/work' };
  const config = parseConfig('a.yaml', text, environment);
  return resolveConfig({ file: null, config, environment, notHonoured: [] });
}

function complaint(text: string, variables: Record<string, string> = {}): string {
  try {
    resolved(text, variables);
  } catch (error) {
    if (error instanceof PlatformError) return error.message;
    throw error;
  }
  throw new Error('expected a complaint');
}

const TWO = 'models:\n  - { model_name: a, engine: simulator }\n  - { model_name: b, engine: simulator';

describe('cache', () => {
  it('is off unless something says otherwise', () => {
    const { gateway, models } = resolved('');
    expect([gateway.cache, gateway.redis, models[0]?.cache]).toEqual([null, null, undefined]);
  });

  it('takes cache_capacity_gb as it is written, and a quarter of a GB without', () => {
    expect(resolved('cache: { mode: always, cache_capacity_gb: 4 }').gateway.cache?.bytesMax).toBe(4e9);
    expect(resolved('cache: { mode: by-header }').gateway.cache).toEqual({
      bytesMax: 2.5e8,
      store: 'memory',
    });
  });

  it('lets a model say otherwise, in both directions', () => {
    const on = resolved(`${TWO}, cache: { mode: always, ttl_s: 5, sampled: true } }`);
    expect(on.gateway.cache).not.toBeNull();
    expect(on.models.map(({ cache }) => cache?.mode)).toEqual([undefined, 'always']);
    expect(on.models[1]?.cache).toMatchObject({ ttlMs: 5_000, sampled: true, revision: undefined });
    const off = resolved(`cache: { mode: always }\n${TWO}, cache: { mode: never } }`);
    expect(off.models.map(({ cache }) => cache?.mode)).toEqual(['always', undefined]);
  });

  it('compares questions by a model that is there', () => {
    const on = resolved(`${TWO}, cache: { mode: always, semantic: { embedding_model: a } } }`);
    expect(on.models[1]?.cache?.semantic).toEqual({ embeddingModel: 'a', threshold: 0.95 });
    expect(complaint(`${TWO}, cache: { mode: always, semantic: { embedding_model: c } } }`)).toContain(
      'found "c", which is no model here; known: a, b',
    );
  });

  it('wants an address for Redis', () => {
    expect(complaint('cache: { mode: always, store: redis }')).toContain('REDIS_URL');
    expect(complaint('limits: { store: redis }')).toContain('limits.store: found "redis" without an address');
  });
});

describe('redis', () => {
  it.each<[string, string, Record<string, string>, string]>([
    ['the file', 'redis: { url: "redis://a:1" }', { REDIS_URL: 'redis://b:2' }, 'redis://a:1'],
    ['a variable in the file', 'redis: { url: "${WHERE}" }', { WHERE: 'rediss://c' }, 'rediss://c'],
    ['REDIS_URL', '', { REDIS_URL: 'redis://b:2', REDIS_HOST: 'h' }, 'redis://b:2'],
    ['REDIS_HOST alone', '', { REDIS_HOST: 'h' }, 'redis://h:6379'],
    [
      'REDIS_HOST and its neighbours',
      '',
      { REDIS_HOST: 'h', REDIS_PORT: '7', REDIS_PASSWORD: 'p@s' },
      'redis://:p%40s@h:7',
    ],
  ])('is where %s says', (_name, text, variables, url) => {
    expect(resolved(`cache: { store: redis }\n${text}`, variables).gateway.redis).toEqual({
      url,
      deadlineMs: 50,
      prefix: 'autoglm',
    });
  });

  it('is nothing where nothing uses it, whatever the variables are there for', () => {
    expect(resolved('', { REDIS_URL: 'unix:///x' }).gateway.redis).toBeNull();
  });

  it('never prints its address', () => {
    const secret = 'redis://:hunter2@h';
    const config = parseConfig('a.yaml', `redis: { url: "${secret}" }`, {
      variables: {},
      homeDir: '/',
      workDir: '/',
    });
    expect(`${JSON.stringify(config)}${inspect(config, { depth: 9 })}`).not.toContain('hunter2');
    expect(complaint('redis: { url: "http://:hunter2@h" }')).not.toContain('hunter2');
    expect(complaint('cache: { store: redis }', { REDIS_URL: 'http://:hunter2@h' })).not.toContain('hunter2');
  });
});
