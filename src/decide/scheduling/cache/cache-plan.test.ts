import { describe, expect, it } from 'vitest';
import type { PoolCache } from '../../../contract/fleet.ts';
import { cachePlan } from './cache-plan.ts';

const policy: PoolCache = {
  mode: 'always',
  ttlMs: 60_000,
  sampled: false,
  endpoints: ['chat', 'embeddings'],
  revision: 'r1',
};
const scope = { tenant: 'a', modelRevision: 'm@r1', endpoint: 'chat', determinism: 'greedy' } as const;
const body = { model: 'm', temperature: 0, messages: [] };

interface Asked {
  policy?: Partial<PoolCache>;
  headers?: Record<string, string>;
  endpoint?: 'chat' | 'rerank';
  temperature?: number;
}

function planOf(asked: Asked) {
  return cachePlan({
    policy: { ...policy, ...asked.policy },
    headers: asked.headers ?? {},
    scope: { ...scope, endpoint: asked.endpoint ?? 'chat' },
    body: { ...body, temperature: asked.temperature ?? 0 },
  });
}

const byHeader = { mode: 'by-header' } as const;

describe('cachePlan', () => {
  it.each<[string, Asked, string]>([
    ['a model that always uses it', {}, 'use'],
    ['no word where a word is needed', { policy: byHeader }, 'off'],
    ['a word where one is needed', { policy: byHeader, headers: { 'x-autoglm-cache': 'On' } }, 'use'],
    ['an endpoint that is left out', { endpoint: 'rerank' }, 'bypass'],
    ['a sampled answer', { temperature: 1 }, 'bypass'],
    ['a sampled answer, asked for', { temperature: 1, headers: { 'x-autoglm-cache': 'sampled' } }, 'use'],
    ['a sampled answer of a model that keeps them', { temperature: 1, policy: { sampled: true } }, 'use'],
    ['off', { headers: { 'x-autoglm-cache': 'off' } }, 'bypass'],
    ['no-store', { headers: { 'cache-control': 'max-age=1, No-Store' } }, 'bypass'],
    ['another word', { headers: { 'x-autoglm-cache': 'yes' } }, 'refused'],
  ])('%s', (_name, asked, kind) => expect(planOf(asked).kind).toBe(kind));

  it.each<[string, Record<string, string>, { read: boolean; ageMsMax: number }]>([
    ['reads', {}, { read: true, ageMsMax: Number.POSITIVE_INFINITY }],
    [
      'only keeps: refresh',
      { 'x-autoglm-cache': 'refresh' },
      { read: false, ageMsMax: Number.POSITIVE_INFINITY },
    ],
    [
      'only keeps: no-cache',
      { 'cache-control': 'no-cache' },
      { read: false, ageMsMax: Number.POSITIVE_INFINITY },
    ],
    ['reads what is young enough', { 'cache-control': 'max-age=30' }, { read: true, ageMsMax: 30_000 }],
  ])('%s', (_name, headers, expected) =>
    expect(planOf({ headers })).toMatchObject({ kind: 'use', ...expected }));
});
