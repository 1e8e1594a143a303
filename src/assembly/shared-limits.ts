/** Limits that gateways keep to together, in Redis. Loaded by workers only where the configuration says so: its client is not small. */
import { randomInt } from 'node:crypto';
import { hostname } from 'node:os';
import { systemClock } from '../base/clock.ts';
import { createRandom } from '../base/random.ts';
import type { RedisSettings } from '../contract/gateway-snapshot.ts';
import { createRedisLimits } from '../drivers/redis/rate-limits.ts';
import { RedisLink } from '../drivers/redis/redis-link.ts';

export type WriteLog = (level: 'info' | 'warn', message: string, detail: Record<string, unknown>) => void;

export function openSharedLimits({ url, deadlineMs, prefix }: RedisSettings, log: WriteLog) {
  const link = new RedisLink({
    url,
    deadlineMs,
    clock: systemClock,
    random: createRandom(randomInt(2 ** 32)),
    onState: (state, reason) => {
      if (state === 'up') log('info', 'limits are counted in Redis', { reason });
      else log('warn', "Redis is away; limits are this gateway's share of them", { reason });
    },
  });
  link.start();
  const limits = createRedisLimits({
    link,
    clock: systemClock,
    prefix,
    gatewayId: `${hostname()}:${process.pid}`,
    onGateways: (count) => log('info', 'gateways that keep to limits together', { gateways: count }),
  });
  return { link, limits };
}
