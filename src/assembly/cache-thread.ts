/** Entry of the cache thread: the one place of a gateway process where answers are kept for others. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import type { ToCache } from '../planes/gateway/cache/cache-protocol.ts';
import { ResponseCache } from '../planes/gateway/cache/response-cache.ts';
import type { CacheStart, FromCacheThread, ToCacheThread } from './cache-thread-protocol.ts';

const STATISTICS_MS = 250;
const SWEEP_MS = 5_000;

if (parentPort === null) throw new Error('cache-thread.ts runs as a worker thread only');
const parent = parentPort;
const { settings } = workerData as CacheStart;
const cache = new ResponseCache({ bytesMax: settings.bytesMax, clock: systemClock, shared: null });

setInterval(() => cache.sweep(), SWEEP_MS);
setInterval(
  () => parent.postMessage({ type: 'statistics', statistics: cache.statistics() } satisfies FromCacheThread),
  STATISTICS_MS,
);

parent.on('message', ({ port }: ToCacheThread) => {
  const line = cache.connect((message) => port.postMessage(message));
  port.on('message', (message: ToCache) => line.take(message));
  port.on('close', () => line.close());
});
