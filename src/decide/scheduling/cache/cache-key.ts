/**
 * The exact cache's key, as text that the gateway hashes: equal exactly for requests that must get the same answer. Requests
 * whose answer chance decides have none. Tenant and revision of the model are part of it, so that nothing crosses from one
 * tenant to another, or outlives the model that wrote it.
 */
import type { CacheEndpoint, EngineCapabilities } from '../../../contract/fleet.ts';
import { canonicalJson } from './canonical-json.ts';

export interface CacheScope {
  tenant: string;
  /** Names weights and settings of the model that answers; the client's name for it does not matter. */
  modelRevision: string;
  /** Other dialects are translated before: their requests have the endpoint and the body that the engine gets. */
  endpoint: CacheEndpoint;
  determinism: EngineCapabilities['determinism'];
  /** Answers that chance decides are taken too: whoever asks twice is content with the first answer. Default false. */
  sampled?: boolean;
}

export type CacheKey = { kind: 'key'; text: string } | { kind: 'uncacheable'; reason: string };

/** Changes when what the text holds does, so that entries of another release are not found. */
const KEY_VERSION = 1;
/** Endpoints whose answers depend on sampling. */
const SAMPLED: readonly CacheEndpoint[] = ['chat', 'completions'];
/** Fields that name the caller or the handling, and change no answer. `model` is replaced by the revision. */
const WITHOUT_EFFECT = [
  'model',
  'user',
  'metadata',
  'store',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
];

export function cacheKey(scope: CacheScope, body: Readonly<Record<string, unknown>>): CacheKey {
  const reason = whyUncacheable(scope, body);
  if (reason !== null) return { kind: 'uncacheable', reason };
  const { tenant, modelRevision, endpoint } = scope;
  const text = canonicalJson([KEY_VERSION, tenant, modelRevision, endpoint, effective(body)]);
  if (text === null) return { kind: 'uncacheable', reason: 'a number beyond 2^53, or too deep nesting' };
  return { kind: 'key', text };
}

/** `null` and absent are one in these APIs, and so are `stream: false` and no `stream`. */
function effective(body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(body).filter(
    ([name, value]) =>
      value !== null &&
      value !== undefined &&
      !WITHOUT_EFFECT.includes(name) &&
      !(name === 'stream' && value === false),
  );
  return Object.fromEntries(entries);
}

function whyUncacheable(
  { endpoint, determinism, sampled = false }: CacheScope,
  body: Readonly<Record<string, unknown>>,
): string | null {
  if (namesRemoteMedia(body)) return 'what lies at an address in it may change';
  if (sampled || !SAMPLED.includes(endpoint)) return null;
  if (determinism === 'none') return 'the engine does not repeat itself';
  const greedy = body.temperature === 0 || body.top_k === 1;
  if (greedy && !(typeof body.best_of === 'number' && body.best_of > 1)) return null;
  if (typeof body.seed === 'number' && determinism === 'seeded') return null;
  return 'its answer is sampled: neither temperature 0 nor a seed that the engine honours';
}

/** Whether a content part of a message has to be fetched; one that is carried along (`data:`) does not. */
function namesRemoteMedia({ messages }: Readonly<Record<string, unknown>>): boolean {
  if (!Array.isArray(messages)) return false;
  return messages.some((message) => {
    const content: unknown = (message as { content?: unknown } | null)?.content;
    return Array.isArray(content) && content.some(isRemotePart);
  });
}

function isRemotePart(part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return false;
  return Object.entries(part).some(([name, value]) => {
    if (!name.endsWith('_url')) return false;
    const url: unknown =
      typeof value === 'object' && value !== null ? (value as { url?: unknown }).url : value;
    return typeof url === 'string' && !/^data:/i.test(url);
  });
}
