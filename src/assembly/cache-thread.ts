/** Entry of the cache thread: the one place of a gateway process where answers are kept for others. */
import { randomInt } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { createRandom } from '../base/random.ts';
import type { RedisSettings } from '../contract/gateway-snapshot.ts';
import { createRedisAnswerStore } from '../drivers/redis/answer-store.ts';
import { RedisLink } from '../drivers/redis/redis-link.ts';
import type { ToCache } from '../planes/gateway/cache/cache-protocol.ts';
import { ResponseCache } from '../planes/gateway/cache/response-cache.ts';
import type { CacheStart, FromCacheThread, ToCacheThread } from './cache-thread-protocol.ts';

const REPORT_MS = 250;
const SWEEP_MS = 5_000;

if (parentPort === null) throw new Error('cache-thread.ts runs as a worker thread only');
const parent = parentPort;
const tell = (message: FromCacheThread) => parent.postMessage(message);
const { settings, redis } = workerData as CacheStart;

const link = settings.store === 'redis' && redis !== null ? openLink(redis) : null;
const shared =
  link === null || redis === null
    ? null
    : createRedisAnswerStore({ link, clock: systemClock, prefix: redis.prefix });
const cache = new ResponseCache({ bytesMax: settings.bytesMax, clock: systemClock, shared });

function openLink({ url, deadlineMs }: RedisSettings): RedisLink {
  const opened = new RedisLink({
    url,
    deadlineMs,
    clock: systemClock,
    random: createRandom(randomInt(2 ** 32)),
    onState: (state, reason) => {
      if (state === 'up') return log('info', 'the response cache uses Redis', {});
      const message = 'Redis is away; the response cache goes on with what this gateway has in memory';
      log('warn', message, { reason });
    },
  });
  opened.start();
  return opened;
}

function log(level: 'info' | 'warn', message: string, detail: Record<string, unknown>): void {
  tell({ type: 'log', level, message, detail });
}

setInterval(() => cache.sweep(), SWEEP_MS);
setInterval(() => {
  const counts = link === null ? null : { ...link.takeCounts(), up: link.isUp };
  tell({ type: 'report', report: { ...cache.statistics(), redis: counts } });
}, REPORT_MS);

parent.on('message', ({ port }: ToCacheThread) => {
  const line = cache.connect((message) => port.postMessage(message));
  port.on('message', (message: ToCache) => line.take(message));
  port.on('close', () => line.close());
});
