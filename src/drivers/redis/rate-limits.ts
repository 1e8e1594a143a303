/**
 * Rates that gateways count together in one Redis, as GCRA: one key for each bucket holds the time at which it would be full
 * (microseconds by the clock of Redis, so that clocks of gateways need not agree). A script checks all buckets and charges all
 * or none; Redis runs one script at a time. Keys go away when their bucket is full.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type {
  SharedCharge,
  SharedLimits,
  SharedRate,
  SharedTake,
} from '../../contract/ports/shared-limits.ts';
import type { RedisConnection, RedisLink } from './redis-link.ts';

export interface RedisLimitsOptions {
  link: RedisLink;
  clock: Clock;
  /** Begins the name of every key. */
  prefix: string;
  /** Names this gateway among all that use the same Redis. */
  gatewayId: string;
  /** So many gateways count together, this one included; called when it has changed. */
  onGateways(count: number): void;
}

/** Each gateway says so often that it is there. */
const PRESENT_MS = 5_000;
/** One that has said nothing for so long is not. */
const ABSENT_MS = 20_000;
/** Between tries to say so for the first time. */
const FIRST_MS = 200;
const US_PER_MS = 1_000;

/** Times count from 2026: a double holds them to a few nanoseconds. Redis gives whole seconds and microseconds. */
const NOW = `
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 1000000 + time[2]
`;

/** Of each key: window, amount, units, spared. Gives who must be waited for (0: nobody), how long, and how far each is ahead. */
const TAKE = `${NOW}
local worst, longest = 0, 1
local tats, nexts = {}, {}
for key = 1, #KEYS do
  local window, amount = tonumber(ARGV[4 * key - 3]), tonumber(ARGV[4 * key - 2])
  local units, spared = tonumber(ARGV[4 * key - 1]), tonumber(ARGV[4 * key])
  local tat = math.max(tonumber(redis.call('GET', KEYS[key]) or 0), now)
  local next = tat + units * window / amount
  local wait = next + spared * window / amount - now - window
  tats[key], nexts[key] = tat, next
  if wait > longest then worst, longest = key, wait end
end
local answer = { worst, math.ceil(longest) }
for key = 1, #KEYS do
  local tat = worst == 0 and nexts[key] or tats[key]
  if worst == 0 and tat > now then
    redis.call('SET', KEYS[key], string.format('%.17g', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
  end
  answer[key + 2] = math.ceil(tat - now)
end
return answer
`;

/** Of each key: window, amount, and the units to add, which may be below 0. */
const ADJUST = `${NOW}
for key = 1, #KEYS do
  local window, amount, units = tonumber(ARGV[3 * key - 2]), tonumber(ARGV[3 * key - 1]), tonumber(ARGV[3 * key])
  local tat = math.max(tonumber(redis.call('GET', KEYS[key]) or 0), now) + units * window / amount
  if tat > now then
    redis.call('SET', KEYS[key], string.format('%.17g', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
  else
    redis.call('DEL', KEYS[key])
  end
end
return 0
`;

/** Says that a gateway is there, and gives how many are. */
const PRESENT = `${NOW}
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) / 1000))
return redis.call('ZCARD', KEYS[1])
`;

export function createRedisLimits(options: RedisLimitsOptions): SharedLimits {
  const { link, clock, prefix, gatewayId, onGateways } = options;
  /** One slot of a cluster: a script may touch them all. */
  const keyOf = (name: string) => `{${prefix}:limits}:${name}`;
  const closing = new AbortController();
  let gateways = 1;
  let heard = false;
  const run = (script: Script, keys: string[], args: (number | string)[]): Promise<unknown> =>
    link.call((redis) => script.run(redis, keys, args.map(String)));

  const keepPresent = async () => {
    while (!closing.signal.aborted) {
      await run(present, [keyOf('gateways')], [gatewayId, ABSENT_MS * US_PER_MS]).then(
        (count) => {
          const found = Math.max(1, Number(count));
          if (!heard || found !== gateways) onGateways(found);
          gateways = found;
          heard = true;
        },
        () => {},
      );
      await clock.sleep(heard ? PRESENT_MS : FIRST_MS, closing.signal).catch(() => {});
    }
  };
  void keepPresent();

  return {
    get gateways() {
      return gateways;
    },
    take: async (charges) => {
      const args = charges.flatMap(({ rate, units, spared }) => [...windowOf(rate), units, spared]);
      const keys = charges.map(({ rate }) => keyOf(rate.id));
      return takeFrom(charges, (await run(take, keys, args)) as number[]);
    },
    adjust: (charges) => {
      const changed = charges.filter(({ units, used }) => units !== used);
      if (changed.length === 0) return;
      const args = changed.flatMap(({ rate, units, used }) => [...windowOf(rate), used - units]);
      const keys = changed.map(({ rate }) => keyOf(rate.id));
      // What can not be told comes back with time.
      run(adjust, keys, args).catch(() => {});
    },
    close: () => closing.abort(),
  };
}

function windowOf({ windowMs, amount }: SharedRate): [number, number] {
  return [windowMs * US_PER_MS, amount];
}

function takeFrom(
  charges: readonly SharedCharge[],
  [worst = 0, waitUs = 0, ...aheadUs]: readonly number[],
): SharedTake {
  return {
    refused: worst === 0 ? null : { index: worst - 1, retryAfterMs: waitUs / US_PER_MS },
    readings: charges.map(({ rate: { amount, windowMs } }, index) => {
      const resetMs = (aheadUs[index] ?? 0) / US_PER_MS;
      const remaining = Math.floor(((windowMs - resetMs) * amount) / windowMs + 1e-6);
      return { remaining: Math.max(0, remaining), resetMs };
    }),
  };
}

/** Known to Redis by its hash; one that Redis has forgotten is sent again. */
class Script {
  readonly #text: string;
  readonly #sha: string;

  constructor(text: string) {
    this.#text = text;
    this.#sha = createHash('sha1').update(text).digest('hex');
  }

  async run(redis: RedisConnection, keys: string[], args: string[]): Promise<unknown> {
    const options = { keys, arguments: args };
    try {
      return await redis.evalSha(this.#sha, options);
    } catch (error) {
      if (!/^NOSCRIPT/.test((error as Error).message)) throw error;
      return redis.eval(this.#text, options);
    }
  }
}

const take = new Script(TAKE);
const adjust = new Script(ADJUST);
const present = new Script(PRESENT);
