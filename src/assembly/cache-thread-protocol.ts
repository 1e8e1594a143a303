/** What the main thread of a gateway and its cache thread say to each other; never on the path of a request. */
import type { MessagePort } from 'node:worker_threads';
import type { CacheSettings } from '../contract/gateway-snapshot.ts';
import type { CacheStatistics } from '../planes/gateway/cache/cache-protocol.ts';

export interface CacheStart {
  settings: CacheSettings;
}

export type ToCacheThread =
  /** A worker's line. */
  { type: 'connect'; port: MessagePort };

export type FromCacheThread = { type: 'statistics'; statistics: CacheStatistics };
