/** What the main thread of a gateway and its cache thread say to each other; never on the path of a request. */
import type { MessagePort } from 'node:worker_threads';
import type { CacheSettings, RedisSettings } from '../contract/gateway-snapshot.ts';
import type { RedisCounts } from '../drivers/redis/redis-link.ts';
import type { CacheStatistics } from '../planes/gateway/cache/cache-protocol.ts';

export interface CacheStart {
  settings: CacheSettings;
  redis: RedisSettings | null;
}

export type ToCacheThread =
  /** A worker's line. */
  { type: 'connect'; port: MessagePort };

/** `redis`: null where answers are kept in memory only. */
export type CacheReport = CacheStatistics & { redis: (RedisCounts & { up: boolean }) | null };

export type FromCacheThread =
  | { type: 'report'; report: CacheReport }
  | { type: 'log'; level: 'info' | 'warn'; message: string; detail: Record<string, unknown> };
