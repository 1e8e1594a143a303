/** Rates in a real Redis: one count for all who use it, whatever they do at the same moment (rows 14 and 15). */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createRandom } from '../../src/base/random.ts';
import type { SharedCharge, SharedLimits } from '../../src/contract/ports/shared-limits.ts';
import { createRedisLimits } from '../../src/drivers/redis/rate-limits.ts';
import { RedisLink } from '../../src/drivers/redis/redis-link.ts';
import { eventually } from '../support/gateway-under-test.ts';
import { hasRedis, type RedisUnderTest, startRedis } from '../support/redis-under-test.ts';

/** So long that nothing comes back while a test runs. */
const HOUR_MS = 3_600_000;
let ids = 0;

function charge(id: string, amount: number, units: number, spared = 0): SharedCharge {
  return { rate: { id, amount, windowMs: 100_000 * HOUR_MS }, units, spared };
}

describe.skipIf(!hasRedis())('rates in Redis', () => {
  let redis: RedisUnderTest;
  const opened: { link: RedisLink; limits: SharedLimits }[] = [];

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterEach(() => {
    for (const { link, limits } of opened.splice(0)) {
      limits.close();
      link.close();
    }
  });
  afterAll(() => redis.stop());

  async function gateway(name: string): Promise<{ link: RedisLink; limits: SharedLimits }> {
    const link = new RedisLink({
      url: redis.url,
      deadlineMs: 10_000,
      clock: systemClock,
      random: createRandom(1),
      onState: () => {},
    });
    link.start();
    await eventually(() => link.isUp);
    const limits = createRedisLimits({
      link,
      clock: systemClock,
      prefix: 'test',
      gatewayId: name,
      onGateways: () => {},
    });
    opened.push({ link, limits });
    return { link, limits };
  }

  it('admit exactly 100 of 1,000 at once over two gateways, and charge no other rate for the rest', async () => {
    const gateways = [await gateway('a'), await gateway('b')];
    const [requests, tokens] = [`requests:${ids++}`, `tokens:${ids++}`];
    const takes = Array.from({ length: 1_000 }, (_, n) =>
      gateways[n % 2]!.limits.take([charge(tokens, 1_000_000, 10), charge(requests, 100, 1)]),
    );
    const answers = await Promise.all(takes);
    expect(answers.filter(({ refused }) => refused === null)).toHaveLength(100);
    expect(answers.find(({ refused }) => refused !== null)?.refused).toMatchObject({ index: 1 });
    const left = await gateways[0]!.limits.take([charge(tokens, 1_000_000, 0)]);
    expect(left.readings[0]?.remaining).toBe(999_000);
  });

  it('are charged what was used, without drift over 10,000 random changes', async () => {
    const { limits } = await gateway('a');
    const id = `tokens:${ids++}`;
    const amount = 7_000_003;
    const chance = createRandom(3);
    let used = 0;
    const one = async () => {
      const units = 1 + chance.int(300);
      const { refused } = await limits.take([charge(id, amount, units)]);
      expect(refused).toBeNull();
      const really = chance.int(500);
      used += really;
      limits.adjust([{ rate: charge(id, amount, 0).rate, units, used: really }]);
    };
    for (let round = 0; round < 100; round++) await Promise.all(Array.from({ length: 100 }, one));
    const { readings } = await limits.take([charge(id, amount, 0)]);
    expect(Math.abs(amount - used - readings[0]!.remaining)).toBeLessThanOrEqual(1);
  });

  it('let in who waits as long as they say, and forget a bucket that is full', async () => {
    const { limits, link } = await gateway('a');
    const rate = { id: `requests:${ids++}`, amount: 5, windowMs: 500 };
    const take = () => limits.take([{ rate, units: 1, spared: 0 }]);
    while ((await take()).refused === null);
    const { refused, readings } = await take();
    expect(refused?.retryAfterMs).toBeGreaterThan(0);
    expect(refused?.retryAfterMs).toBeLessThanOrEqual(100);
    expect(readings[0]?.remaining).toBe(0);
    await systemClock.sleep(refused!.retryAfterMs + 1);
    expect((await take()).refused).toBeNull();
    await eventually(async () => (await link.call((c) => c.exists(`{test:limits}:${rate.id}`))) === 0);
  });

  it('spare what they are told to, and give all of an unused one', async () => {
    const { limits } = await gateway('a');
    const id = `tokens:${ids++}`;
    expect((await limits.take([charge(id, 100, 40, 50)])).refused).toBeNull();
    expect((await limits.take([charge(id, 100, 20, 50)])).refused).not.toBeNull();
    expect((await limits.take([charge(id, 100, 60)])).refused).toBeNull();
  });

  it('go on when Redis has forgotten the scripts', async () => {
    const { limits, link } = await gateway('a');
    const id = `requests:${ids++}`;
    await limits.take([charge(id, 2, 1)]);
    await link.call((connection) => connection.scriptFlush());
    expect((await limits.take([charge(id, 2, 1)])).refused).toBeNull();
    expect((await limits.take([charge(id, 2, 1)])).refused).not.toBeNull();
  });

  it('tell each gateway how many there are', async () => {
    const gateways = [await gateway('c'), await gateway('d'), await gateway('d')];
    await eventually(() => gateways.every(({ limits }) => limits.gateways >= 2), 20_000);
  });

  it('reject in time when Redis is away', async () => {
    const { limits } = await gateway('a');
    await redis.kill();
    await expect(limits.take([charge('x', 1, 1)])).rejects.toThrow(/Redis/);
    await redis.restart();
  });
});
