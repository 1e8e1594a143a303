/** The connection to Redis against a real server that answers, freezes, dies and refuses (conventions.md row 13, T13). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createRandom } from '../../src/base/random.ts';
import { packChunks } from '../../src/contract/cached-answer.ts';
import { createRedisAnswerStore } from '../../src/drivers/redis/answer-store.ts';
import { RedisLink } from '../../src/drivers/redis/redis-link.ts';
import { eventually } from '../support/gateway-under-test.ts';
import { hasRedis, type RedisUnderTest, startRedis } from '../support/redis-under-test.ts';

const DEADLINE_MS = 50;

describe.skipIf(!hasRedis())('RedisLink', () => {
  let redis: RedisUnderTest;
  const links: RedisLink[] = [];

  beforeAll(async () => {
    redis = await startRedis(['--requirepass', 's3cret']);
  });

  afterAll(async () => {
    for (const link of links) link.close();
    await redis.stop();
  });

  function linkTo(url: string, deadlineMs = DEADLINE_MS) {
    const states: { state: string; detail: string }[] = [];
    const link = new RedisLink({
      url,
      deadlineMs,
      clock: systemClock,
      random: createRandom(1),
      onState: (state, detail) => void states.push({ state, detail }),
    });
    links.push(link);
    link.start();
    return { link, states };
  }

  const address = () => `redis://:s3cret@127.0.0.1:${redis.port}`;
  const get = (link: RedisLink) => link.call((connection) => connection.get('k'));
  async function timed(work: () => Promise<unknown>) {
    const startMs = performance.now();
    const failure = await work().then(
      () => null,
      (error: Error) => error.message,
    );
    return { failure, ms: performance.now() - startMs };
  }

  it('keeps answers, as bytes and for their time', async () => {
    // What is late counts as not found, and this is not about that.
    const { link } = linkTo(address(), 10_000);
    await eventually(() => link.isUp);
    const store = createRedisAnswerStore({ link, clock: systemClock, prefix: 'p' });
    const answer = {
      status: 200,
      headers: { 'content-type': 'a/b' },
      streamed: true,
      storedAtMs: Date.now(),
      usage: { promptTokens: 1, completionTokens: 2, estimatedTokens: null },
      chunks: packChunks([Buffer.from([0, 255, 128]), Buffer.from('é')]),
    };
    await store.set('a', { answer, ttlMs: 60_000 });
    await store.set('b', { answer, ttlMs: 20 });
    const found = await store.get('a');
    expect(found?.answer).toEqual(answer);
    expect(found?.ttlMs).toBeLessThanOrEqual(60_000);
    expect(await store.get('none')).toBeNull();
    await eventually(async () => (await store.get('b')) === null);
    // An answer whose time is over by the millisecond may stand there for one more.
    const names = () => link.call((connection) => connection.keys('*'));
    await eventually(async () => (await names()).length === 1);
    expect((await names()).map(String)).toEqual(['p:answer:a']);
  });

  it('never waits longer than the deadline for a frozen Redis, and not at all soon after; comes back by itself', async () => {
    const { link, states } = linkTo(address());
    await eventually(() => link.isUp);
    redis.freeze();
    const first = await Promise.all(Array.from({ length: 5 }, () => timed(() => get(link))));
    for (const { failure, ms } of first) {
      expect(failure).toMatch(/^Redis (did not answer within 50 ms|went away)$/);
      expect(ms).toBeLessThan(DEADLINE_MS + 1_000);
    }
    await eventually(() => !link.isUp);
    const later = await timed(() => get(link));
    expect(later.failure).toBe('Redis is away');
    expect(later.ms).toBeLessThan(DEADLINE_MS);
    redis.thaw();
    await eventually(() => link.isUp);
    expect((await timed(() => get(link))).failure).toBeNull();
    expect(states.map(({ state }) => state)).toEqual(['up', 'away', 'up']);
    expect(link.takeCounts()).toMatchObject({ late: 5, refused: 1 });
  });

  it('holds on over one slow answer', async () => {
    const { link } = linkTo(address(), 500);
    await eventually(() => link.isUp);
    await timed(() => link.call((connection) => connection.sendCommand(['DEBUG', 'SLEEP', '0.8'])));
    await eventually(async () => (await timed(() => get(link))).failure === null);
    expect(link.isUp).toBe(true);
  });

  it('is away while Redis is dead, without a queue, and back when it is', async () => {
    const { link, states } = linkTo(address());
    await eventually(() => link.isUp);
    await redis.kill();
    await eventually(() => !link.isUp);
    const refused = await Promise.all(Array.from({ length: 1_000 }, () => timed(() => get(link))));
    expect(new Set(refused.map(({ failure }) => failure))).toEqual(new Set(['Redis is away']));
    await redis.restart();
    await eventually(() => link.isUp);
    expect(states.map(({ state }) => state)).toEqual(['up', 'away', 'up']);
  });

  it('passes on what Redis refuses, and stays up', async () => {
    const { link } = linkTo(address());
    await eventually(() => link.isUp);
    const { failure } = await timed(() => link.call((connection) => connection.sendCommand(['NONSENSE'])));
    expect(failure).toContain('unknown command');
    expect(link.isUp).toBe(true);
  });

  it('says why it cannot come up, without the password', async () => {
    const { link, states } = linkTo(`redis://:wr0ng@127.0.0.1:${redis.port}`);
    await eventually(() => states.length > 0);
    expect(states[0]).toMatchObject({ state: 'away', detail: 'WRONGPASS' });
    expect(link.isUp).toBe(false);
    const nowhere = linkTo('redis://:s3cret@127.0.0.1:1');
    await eventually(() => nowhere.states.length > 0);
    expect(nowhere.states[0]).toEqual({ state: 'away', detail: 'ECONNREFUSED' });
  });
});
