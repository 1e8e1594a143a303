/**
 * Whether a request uses the response cache, and how: what the model's settings allow, what the caller asked for in headers,
 * and whether the answer can be told apart from all others. Called once per request to a model that may use it.
 */
import type { PoolCache } from '../../../contract/fleet.ts';
import { type CacheScope, cacheKey } from './cache-key.ts';
import { type SimilarQuestion, similarQuestion } from './similar-question.ts';

/** A caller's word about one request, and what its answer says. */
export const CACHE_HEADER = 'x-autoglm-cache';

const WORDS = [
  /** Use it where the same request would give the same answer. */
  'on',
  /** Use it although the answer is sampled. */
  'sampled',
  /** Use it, but only for answers to the very same question. */
  'exact',
  /** Ask the engine, and keep its answer. */
  'refresh',
  /** Neither look nor keep. */
  'off',
] as const;
type Word = (typeof WORDS)[number];

export interface CacheQuestion {
  policy: PoolCache;
  headers: Readonly<Record<string, string | undefined>>;
  scope: Omit<CacheScope, 'sampled'>;
  body: Readonly<Record<string, unknown>>;
}

export type CachePlan =
  /** The cache is nothing that this request knows of. */
  | { kind: 'off' }
  | { kind: 'bypass'; reason: string }
  /** A header that can not be read: found, and what would have been right. */
  | { kind: 'refused'; message: string }
  | { kind: 'use'; keyText: string; read: boolean; ageMsMax: number; similar: SimilarQuestion | null };

export function cachePlan({ policy, headers, scope, body }: CacheQuestion): CachePlan {
  const word = headers[CACHE_HEADER]?.trim().toLowerCase();
  if (word !== undefined && !isWord(word)) {
    const message = `${CACHE_HEADER}: found "${word.slice(0, 40)}"; expected one of ${WORDS.join(', ')}`;
    return { kind: 'refused', message };
  }
  if (word === undefined && policy.mode !== 'always') return { kind: 'off' };
  if (!policy.endpoints.includes(scope.endpoint)) return bypass(`not used for ${scope.endpoint}`);
  const directives = directivesOf(headers['cache-control']);
  if (word === 'off' || directives.noStore) return bypass('the caller asked for none');
  const wholeScope = { ...scope, sampled: policy.sampled || word === 'sampled' };
  const key = cacheKey(wholeScope, body);
  if (key.kind === 'uncacheable') return bypass(key.reason);
  const read = word !== 'refresh' && !directives.noCache;
  const mayBeSimilar = policy.semantic !== undefined && word !== 'exact' && read;
  return {
    kind: 'use',
    keyText: key.text,
    read,
    ageMsMax: directives.ageMsMax,
    similar: mayBeSimilar ? similarQuestion(wholeScope, body) : null,
  };
}

function isWord(text: string): text is Word {
  return (WORDS as readonly string[]).includes(text);
}

function bypass(reason: string): CachePlan {
  return { kind: 'bypass', reason };
}

/** Of RFC 9111, section 5.2.1: what a request may ask of a cache. Others are ignored, as it says. */
function directivesOf(text = ''): { noStore: boolean; noCache: boolean; ageMsMax: number } {
  const directives = text.split(',').map((part) => part.trim().toLowerCase());
  const age = directives.map((part) => /^max-age="?(\d{1,10})"?$/.exec(part)?.[1]).find((found) => found);
  return {
    noStore: directives.includes('no-store'),
    noCache: directives.includes('no-cache'),
    ageMsMax: age === undefined ? Number.POSITIVE_INFINITY : Number(age) * 1000,
  };
}
