/** `litellm_settings.cache` and `cache_params` to our `cache` and, where answers are found by meaning, to that of each model. */
import type { ConfigInput } from '../../../contract/config-schema.ts';
import { CACHE_ENDPOINTS, type CacheEndpoint } from '../../../contract/fleet.ts';
import { numberFrom, textFrom } from '../../../wire/json/scalars.ts';
import { CACHE_REDIS, takeRedis } from './convert-redis.ts';
import type { LocatedMap } from './located.ts';
import { leftOver, type NotHonoured } from './not-honoured.ts';
import type { References } from './references.ts';

export interface CacheParts {
  config: ConfigInput;
  references: References;
  notes: NotHonoured[];
  isModel(name: string): boolean;
}

type CacheInput = NonNullable<ConfigInput['cache']>;

const TTL_S_MAX = 31_536_000;
const THRESHOLD_MIN = 0.5;
const KEY_PREFIX = /^[\w.{}:-]{1,64}$/;
const CALL_TYPES: Readonly<Record<string, CacheEndpoint>> = {
  completion: 'chat',
  acompletion: 'chat',
  anthropic_messages: 'chat',
  responses: 'chat',
  aresponses: 'chat',
  text_completion: 'completions',
  atext_completion: 'completions',
  embedding: 'embeddings',
  aembedding: 'embeddings',
  rerank: 'rerank',
  arerank: 'rerank',
};
/** What `type` may be, and which store of ours it becomes; semantic ones find answers by meaning, too. */
const TYPES: Readonly<Record<string, { store: 'memory' | 'redis'; semantic?: string }>> = {
  local: { store: 'memory' },
  redis: { store: 'redis' },
  'redis-semantic': { store: 'redis', semantic: 'redis_semantic_cache_embedding_model' },
  'qdrant-semantic': { store: 'memory', semantic: 'qdrant_semantic_cache_embedding_model' },
};

export function convertCache(section: LocatedMap, parts: CacheParts): void {
  const { config, notes } = parts;
  const isOn = section.take('cache') === true;
  const params = section.map('cache_params');
  if (!isOn) {
    if (params !== undefined)
      notes.push({ ...section.place('cache_params'), reason: '`cache` is not true, so nothing is kept' });
    return;
  }
  // LiteLLM keeps what chance decides, too.
  const cache: CacheInput = { mode: 'always', sampled: true };
  config.cache = cache;
  if (params === undefined) {
    const reason = 'kept in the memory of the gateway; `cache.store: redis` shares answers through Redis';
    notes.push({ ...section.place('cache'), reason });
    return;
  }
  const type = textFrom(params.take('type')) || 'redis';
  const known = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (known === undefined)
    notes.push({
      ...params.place('type'),
      reason: 'answers are kept in memory or in Redis; it is memory here',
    });
  if (known?.store === 'redis') {
    cache.store = 'redis';
    takeRedis(params, CACHE_REDIS, parts);
    takeNamespace(params, parts);
  }
  takeMode(params, cache, notes);
  takeTtl(params, cache, known?.store ?? 'memory', notes);
  takeCallTypes(params, cache, notes);
  if (known?.semantic !== undefined) takeSemantic(params, known.semantic, parts);
  notes.push(...leftOver(params));
}

function takeMode(params: LocatedMap, cache: CacheInput, notes: NotHonoured[]): void {
  const mode = params.take('mode');
  if (mode === undefined || mode === 'default_on') return;
  if (mode === 'default_off') cache.mode = 'by-header';
  else notes.push({ ...params.place('mode'), reason: 'would be right: default_on or default_off' });
}

function takeTtl(
  params: LocatedMap,
  cache: CacheInput,
  store: 'memory' | 'redis',
  notes: NotHonoured[],
): void {
  const keys = ['ttl', store === 'redis' ? 'default_in_redis_ttl' : 'default_in_memory_ttl'];
  for (const key of keys) {
    const written = params.take(key);
    if (written === undefined || cache.ttl_s !== undefined) continue;
    const seconds = Math.round(numberFrom(written));
    if (seconds >= 1) cache.ttl_s = Math.min(seconds, TTL_S_MAX);
    else notes.push({ ...params.place(key), reason: 'would be right: seconds, at least 1' });
  }
}

function takeCallTypes(params: LocatedMap, cache: CacheInput, notes: NotHonoured[]): void {
  const written = params.take('supported_call_types');
  if (written === undefined) return;
  const note = (reason: string) => notes.push({ ...params.place('supported_call_types'), reason });
  if (!Array.isArray(written)) return void note('would be right: a list');
  const names = written.map(textFrom);
  const unknown = names.filter((name) => !Object.hasOwn(CALL_TYPES, name));
  if (unknown.length > 0) note('answers to some of these are not kept here; those of the others are');
  const wanted = new Set(names.flatMap((name) => CALL_TYPES[name] ?? []));
  if (wanted.size === 0) cache.mode = 'never';
  else cache.endpoints = CACHE_ENDPOINTS.filter((endpoint) => wanted.has(endpoint));
}

function takeNamespace(params: LocatedMap, { config, notes }: CacheParts): void {
  const written = params.take('namespace');
  if (written === undefined) return;
  if (typeof written === 'string' && KEY_PREFIX.test(written))
    config.redis = { ...config.redis, key_prefix: written };
  else
    notes.push({
      ...params.place('namespace'),
      reason: 'would be right: at most 64 letters, digits or . _ - : { }',
    });
}

/** For all models but the one that makes the embeddings. */
function takeSemantic(params: LocatedMap, key: string, { config, notes, isModel }: CacheParts): void {
  const model = textFrom(params.take(key));
  const threshold = takeThreshold(params, notes);
  if (model === '' || !isModel(model)) {
    const place = params.place(model === '' ? 'type' : key);
    const reason =
      'only equal questions are given one answer: an embedding model that stands in model_list would be right';
    notes.push({ ...place, reason });
    return;
  }
  const semantic = { embedding_model: model, ...(threshold !== undefined && { threshold }) };
  for (const served of config.models ?? []) {
    const isEmbedder = served.model_name === model || served.aliases?.includes(model) === true;
    if (!isEmbedder) served.cache = { ...served.cache, semantic };
  }
}

function takeThreshold(params: LocatedMap, notes: NotHonoured[]): number | undefined {
  const written = params.take('similarity_threshold');
  if (written === undefined) return undefined;
  const threshold = numberFrom(written);
  const note = (reason: string) => notes.push({ ...params.place('similarity_threshold'), reason });
  if (!(threshold >= 0 && threshold <= 1)) {
    note('would be right: a number from 0 to 1');
    return undefined;
  }
  if (threshold < THRESHOLD_MIN) note(`questions must be nearer than that here: ${THRESHOLD_MIN}`);
  return Math.max(THRESHOLD_MIN, threshold);
}
