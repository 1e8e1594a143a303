/** Where engines answer each kind of request, and whether a pool's engine has it at all. */
import { PlatformError } from '../../contract/errors.ts';
import {
  type EngineCapabilities,
  EXTRA_ENDPOINTS,
  type ExtraEndpoint,
  type PoolView,
} from '../../contract/fleet.ts';
import type { InferenceEndpoint } from '../../wire/openai/envelope.ts';

const ENGINE_PATHS: Readonly<Record<InferenceEndpoint, string>> = {
  chat: '/v1/chat/completions',
  completions: '/v1/completions',
  embeddings: '/v1/embeddings',
  rerank: '/v1/rerank',
  score: '/v1/score',
  tokenize: '/tokenize',
  detokenize: '/detokenize',
  classify: '/classify',
  pooling: '/pooling',
};

/** Where an engine answers requests of this kind. */
export function enginePath({ paths }: EngineCapabilities, endpoint: InferenceEndpoint): string {
  const own = paths !== undefined && isExtraEndpoint(endpoint) ? paths[endpoint] : undefined;
  return own ?? ENGINE_PATHS[endpoint];
}

export function isExtraEndpoint(endpoint: InferenceEndpoint): endpoint is ExtraEndpoint {
  return (EXTRA_ENDPOINTS as readonly string[]).includes(endpoint);
}

/** Throws `not_supported` when no engine of the pool has the end point. */
export function refuseUnlessOffered(pool: PoolView, endpoint: InferenceEndpoint): void {
  if (!isExtraEndpoint(endpoint) || pool.replicas.length === 0) return;
  const offered = pool.replicas.some(
    ({ capabilities }) => capabilities.endpoints?.includes(endpoint) !== false,
  );
  if (!offered) throw notOffered(pool, endpoint);
}

/** @param found what the engine said when it was asked. */
export function notOffered(pool: PoolView, endpoint: InferenceEndpoint, found?: string): PlatformError {
  const engines = [...new Set(pool.replicas.map(({ engine }) => engine))].join(', ');
  const detail = found === undefined ? '' : ` (${found})`;
  return new PlatformError(
    'not_supported',
    `model "${pool.model}" runs on ${engines}, which has no ${ENGINE_PATHS[endpoint]}${detail}`,
  );
}
