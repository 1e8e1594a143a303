/**
 * What prefix affinity is worth, on four pretend replicas whose KV caches hold a third of all beginnings each: time to first
 * token against round robin where prompts share beginnings, and against least in flight where they do not.
 */
import { expect, it } from 'vitest';
import { createRandom } from '../../../src/base/random.ts';
import type { StrategyName } from '../../../src/contract/scheduling.ts';
import { GatewayWorld, mean, quantile } from './gateway-world.ts';
import { arrivals, randomPrompt, sharedPrefixes } from './workloads.ts';

const PREFIXES = 48;
const PREFIX_TOKENS = 3_000;
/** A third of all beginnings, and room for what runs. */
const NUM_BLOCKS = Math.ceil(((PREFIXES / 3) * PREFIX_TOKENS) / 16) + 1_000;
const SPAN_MS = 120_000;
const WARM_MS = 20_000;
const SEEDS = [1, 2, 3];

function ttfts(strategy: StrategyName, seed: number, shared: boolean, perSecond: number): number[] {
  const world = new GatewayWorld({
    seed,
    strategy,
    replicas: 4,
    window: 32,
    numBlocks: NUM_BLOCKS,
    maxNumSeqs: 64,
    queueLimit: 4_000,
    queueTimeoutMs: 60_000,
  });
  // Prompts and arrivals are the same for all strategies.
  const chance = createRandom(seed * 7_919);
  const prompt = shared ? sharedPrefixes(chance, PREFIXES, PREFIX_TOKENS) : () => randomPrompt(chance, 1_500);
  arrivals(world, chance, perSecond, [0, SPAN_MS], () => ({
    tenant: 'a',
    prompt: prompt(),
    answerTokens: 60,
  }));
  world.run(SPAN_MS + 60_000);
  const measured = world.told.filter((one) => one.outcome === 'completed' && one.atMs > WARM_MS);
  expect(measured.length).toBeGreaterThan(0.95 * perSecond * ((SPAN_MS - WARM_MS) / 1_000) * 0.9);
  return measured.map(({ ttftMs }) => ttftMs);
}

it('is at least twice as fast to the first token as round robin where prompts share beginnings', () => {
  for (const seed of SEEDS) {
    const [affinity, rounds, least] = (['prefix-cache', 'round-robin', 'least-connections'] as const).map(
      (strategy) => ttfts(strategy, seed, true, 24),
    );
    console.log(
      `shared beginnings, seed ${seed}: mean TTFT prefix-cache ${mean(affinity!).toFixed(0)} ms (p99 ${quantile(affinity!, 0.99).toFixed(0)}), ` +
        `round-robin ${mean(rounds!).toFixed(0)} ms (p99 ${quantile(rounds!, 0.99).toFixed(0)}), least-connections ${mean(least!).toFixed(0)} ms`,
    );
    expect(mean(rounds!)).toBeGreaterThanOrEqual(2 * mean(affinity!));
  }
});

it('is not worse than least in flight where prompts share nothing', () => {
  const of = (strategy: StrategyName) => SEEDS.flatMap((seed) => ttfts(strategy, seed, false, 24));
  const [affinity, least] = [of('prefix-cache'), of('least-connections')];
  console.log(
    `nothing shared: mean TTFT prefix-cache ${mean(affinity).toFixed(1)} ms (p99 ${quantile(affinity, 0.99).toFixed(0)}), ` +
      `least-connections ${mean(least).toFixed(1)} ms (p99 ${quantile(least, 0.99).toFixed(0)})`,
  );
  expect(mean(affinity)).toBeLessThanOrEqual(mean(least));
});
