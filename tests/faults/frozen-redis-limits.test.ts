/**
 * Limits that two gateways keep to together, while Redis counts, freezes and comes back (conventions.md row 13, T13). Goal: never
 * more than the limit while Redis answers; while it does not, no more than the gateways' shares of it, and requests that wait for
 * nothing. Method: a limit that comes back slowly, and many requests at once over both.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LimitSettings } from '../../src/contract/limits.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { median } from '../support/openai-fixture.ts';
import { hasRedis, type RedisUnderTest, startRedis } from '../support/redis-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const WORKERS = 2;
const LIMIT = 100;
const ROUNDS = 3;
const REQUESTS = 300;
const AT_ONCE = 4;
const GROWTH_MS_MAX = 5;
const UP = 'limits are counted in Redis';
const TOGETHER = 'gateways that keep to limits together';
const AWAY = "Redis is away; limits are this gateway's share of them";

const keys: Record<string, LimitSettings> = {
  first: { requestsPerMinute: LIMIT },
  second: { requestsPerMinute: LIMIT },
  wide: { requestsPerMinute: 1_000_000_000, tokensPerMinute: 10_000_000_000 },
};

describe.skipIf(!hasRedis())('limits with Redis', () => {
  let redis: RedisUnderTest;
  let engine: ScriptedEngine;
  let gateways: RunningGateway[];

  beforeAll(async () => {
    redis = await startRedis();
    engine = await startScriptedEngine();
    const start = () =>
      startGateway([poolOf('m', [{ url: engine.url, window: 4096 }])], {
        workers: WORKERS,
        connectTimeoutMs: 30_000,
        limitStore: 'redis',
        redis: { url: redis.url, deadlineMs: 250, prefix: 'autoglm' },
        keys: Object.entries(keys).map(([name, limits]) => {
          return { name, sha256: createHash('sha256').update(name).digest('hex'), limits };
        }),
      });
    gateways = [await start(), await start()];
    for (const gateway of gateways) await said(gateway, UP, 1);
    // Every thread says each five seconds that its gateway is there, and hears how many are.
    await eventually(() => gateways.every((gateway) => toldOfTwo(gateway)), 30_000);
  });

  afterAll(async () => {
    for (const gateway of gateways) await gateway.stop();
    await engine.close();
    await redis.stop();
  });

  /** All threads have said it so many times. */
  const said = (gateway: RunningGateway, message: string, times: number) =>
    eventually(() => timesSaid(gateway, message) >= times * WORKERS, 30_000);
  const timesSaid = (gateway: RunningGateway, message: string) =>
    gateway.log().filter((line) => line.message === message).length;
  const toldOfTwo = (gateway: RunningGateway) =>
    gateway.log().filter((line) => line.message === TOGETHER && line.gateways === 2).length >= WORKERS;

  async function ask(gateway: RunningGateway, key: string) {
    const startMs = performance.now();
    const response = await fetch(`${gateway.v1}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, connection: 'close' },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] }),
    });
    await response.arrayBuffer();
    return { status: response.status, headers: response.headers, ms: performance.now() - startMs };
  }

  /** 500 requests over both: how many were let in, and how many became free in the meantime. */
  async function rush(key: string): Promise<{ admitted: number; becameFree: number }> {
    const startMs = performance.now();
    const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => ask(gateways[n % 2]!, key)));
    const becameFree = Math.floor(((performance.now() - startMs) * LIMIT) / 60_000) + 1;
    const statuses = answers.map(({ status }) => status);
    expect(statuses.every((status) => status === 200 || status === 429)).toBe(true);
    return { admitted: statuses.filter((status) => status === 200).length, becameFree };
  }

  async function p99(): Promise<number> {
    const times: number[] = [];
    const client = async () => {
      while (times.length < REQUESTS) {
        const { status, ms } = await ask(gateways[0]!, 'wide');
        expect(status).toBe(200);
        times.push(ms);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] as number;
  }

  it('are kept by both together while Redis answers', async () => {
    const { admitted, becameFree } = await rush('first');
    expect(admitted).toBeGreaterThanOrEqual(95);
    expect(admitted).toBeLessThanOrEqual(LIMIT + becameFree);
    const { headers } = await ask(gateways[1]!, 'first');
    expect(headers.get('x-ratelimit-limit-requests')).toBe(String(LIMIT));
  });

  it('let in no more than the shares of both while Redis is frozen, and cost under 5 ms of p99', async () => {
    await p99();
    const before: number[] = [];
    const frozen: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      before.push(await p99());
      redis.freeze();
      for (const gateway of gateways) {
        const away = timesSaid(gateway, AWAY);
        // Each thread finds out for itself, by three calls that have no answer.
        await eventually(async () => {
          await Promise.all(Array.from({ length: 8 }, () => ask(gateway, 'wide')));
          return timesSaid(gateway, AWAY) >= away + WORKERS;
        }, 30_000);
      }
      if (round === 0) {
        const { admitted, becameFree } = await rush('second');
        expect(admitted).toBeGreaterThanOrEqual(95);
        expect(admitted).toBeLessThanOrEqual(LIMIT + becameFree);
        expect((await gateways[0]!.report()).metricsText).toMatch(
          /^autoglm_rate_limits_alone_total\{.*\} [1-9]/m,
        );
      }
      frozen.push(await p99());
      const up = gateways.map((gateway) => timesSaid(gateway, UP));
      redis.thaw();
      for (const [index, gateway] of gateways.entries())
        await eventually(() => timesSaid(gateway, UP) >= up[index]! + WORKERS, 30_000);
    }
    // A machine that has other things to do moves the p99 by itself, by as much as its rounds without a fault differ.
    const noise = Math.max(...before) - Math.min(...before);
    expect(median(frozen) - median(before)).toBeLessThan(GROWTH_MS_MAX + noise);
  });
});
