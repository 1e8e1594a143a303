/**
 * The response cache with Redis behind it, while Redis shares, freezes and dies (conventions.md row 13, T13): gateways find each
 * other's answers; a Redis that does not answer costs a request its deadline until the breaker has opened, and nothing after.
 * Method: questions that nobody has asked before, so that each request looks into Redis and writes to it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PoolCache } from '../../src/contract/fleet.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { median } from '../support/openai-fixture.ts';
import { hasRedis, type RedisUnderTest, startRedis } from '../support/redis-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const CACHE: PoolCache = {
  mode: 'always',
  ttlMs: 600_000,
  sampled: false,
  endpoints: ['chat'],
  revision: 'r1',
};
/** The deadline of 50 ms, and what a busy machine adds. */
const FIRST_MS_MAX = 1_000;
const ROUNDS = 3;
const REQUESTS = 400;
const AT_ONCE = 4;
const GROWTH_MS_MAX = 5;

describe.skipIf(!hasRedis())('response cache with Redis', () => {
  let redis: RedisUnderTest;
  let engine: ScriptedEngine;
  let one: RunningGateway;
  let other: RunningGateway;
  let prompts = 0;

  beforeAll(async () => {
    redis = await startRedis();
    engine = await startScriptedEngine();
    const start = () =>
      startGateway([{ ...poolOf('m', [{ url: engine.url }]), cache: CACHE }], {
        cache: { bytesMax: 10_000_000, store: 'redis' },
        redis: { url: redis.url, deadlineMs: 50, prefix: 'autoglm' },
      });
    one = await start();
    other = await start();
    await isUp(one, 1);
    await isUp(other, 1);
  });

  afterAll(async () => {
    await one.stop();
    await other.stop();
    await engine.close();
    await redis.stop();
  });

  const isUp = (gateway: RunningGateway, value: 0 | 1) =>
    eventually(async () =>
      new RegExp(`autoglm_redis_up\\{[^}]*user="cache"[^}]*\\} ${value}`).test(
        (await gateway.report()).metricsText,
      ),
    );

  const question = () => `question ${prompts++}`;

  async function ask(gateway: RunningGateway, content: string) {
    const startMs = performance.now();
    const response = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'm', temperature: 0, messages: [{ role: 'user', content }] }),
    });
    await response.arrayBuffer();
    const ms = performance.now() - startMs;
    return { status: response.status, cache: response.headers.get('x-autoglm-cache'), ms };
  }

  async function p99(): Promise<number> {
    const times: number[] = [];
    const client = async () => {
      while (times.length < REQUESTS) {
        const { status, ms } = await ask(one, question());
        expect(status).toBe(200);
        times.push(ms);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] as number;
  }

  it('gives what one gateway was told to clients of another', async () => {
    const content = question();
    expect((await ask(one, content)).cache).toBe('miss');
    await eventually(async () => (await ask(other, content)).cache === 'hit');
    expect(engine.seen.filter(({ raw }) => raw.includes(`"${content}"`)).length).toBeLessThanOrEqual(2);
  });

  it('costs a request at most its deadline when Redis freezes, and under 5 ms of p99 from then on', async () => {
    const before: number[] = [];
    const frozen: number[] = [];
    await p99();
    for (let round = 0; round < ROUNDS; round++) {
      before.push(await p99());
      redis.freeze();
      const first = await Promise.all(Array.from({ length: 10 }, () => ask(one, question())));
      for (const { status, ms } of first) {
        expect(status).toBe(200);
        expect(ms).toBeLessThan(FIRST_MS_MAX);
      }
      await isUp(one, 0);
      frozen.push(await p99());
      redis.thaw();
      await isUp(one, 1);
    }
    // A machine that has other things to do moves the p99 by itself, by as much as its rounds without a fault differ.
    const noise = Math.max(...before) - Math.min(...before);
    expect(median(frozen) - median(before)).toBeLessThan(GROWTH_MS_MAX + noise);
  });

  it('still gives what is in memory while Redis is dead, and uses it again when it is back', async () => {
    const content = question();
    await ask(one, content);
    await redis.kill();
    await isUp(one, 0);
    expect((await ask(one, content)).cache).toBe('hit');
    expect(await ask(one, question())).toMatchObject({ status: 200, cache: 'miss' });
    await redis.restart();
    await isUp(one, 1);
    await isUp(other, 1);
    const again = question();
    await ask(one, again);
    await eventually(async () => (await ask(other, again)).cache === 'hit');
  });
});
