/**
 * Breaker, floor and slow start in a pool of pretend replicas that go wrong in the ways that hurt: one bad, one that flaps, all
 * bad, one gone so that its load falls on the rest. The world checks the floor and the leases after each step; once all are
 * well, the pool must be whole again within a bound.
 */
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/base/random.ts';
import { GatewayWorld, quantile } from './gateway-world.ts';
import { arrivals, randomPrompt } from './workloads.ts';

const SEEDS = Number(process.env.AUTOGLM_SCHEDULING_SEEDS ?? 20);
const FAULTS_MS = [10_000, 70_000] as const;
/** The longest ejection that a minute of faults leads to, with jitter, and the probe. */
const WHOLE_AGAIN_MS = 60_000;

function run(
  seed: number,
  faults: (world: GatewayWorld, chance: ReturnType<typeof createRandom>) => void,
): GatewayWorld {
  const world = new GatewayWorld({
    seed,
    strategy: 'power-of-two',
    replicas: 4,
    window: 16,
    numBlocks: 4_000,
    maxNumSeqs: 64,
    queueLimit: 500,
    queueTimeoutMs: 10_000,
  });
  const chance = createRandom(seed * 101);
  arrivals(world, chance, 40, [0, 140_000], () => ({
    tenant: 'a',
    prompt: randomPrompt(chance, 40),
    answerTokens: 20 + chance.int(40),
  }));
  faults(world, chance);
  world.at(FAULTS_MS[1], () => {
    for (const replica of world.replicas) {
      replica.mood = 'well';
      replica.slowness = 1;
    }
  });
  world.run(150_000);
  return world;
}

const failedIn = (world: GatewayWorld, [fromMs, toMs]: readonly [number, number]) => {
  const told = world.told.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  return told.filter(({ outcome }) => outcome !== 'completed').length / told.length;
};

describe.each([
  {
    name: 'one bad replica',
    failedMax: 0.02,
    faults: (world: GatewayWorld) => world.at(FAULTS_MS[0], () => (world.replicas[1]!.mood = 'error-500')),
  },
  {
    name: 'one replica that flaps',
    failedMax: 0.02,
    faults: (world: GatewayWorld, chance: ReturnType<typeof createRandom>) => {
      for (let atMs: number = FAULTS_MS[0]; atMs < FAULTS_MS[1]; atMs += 500 + chance.int(3_000)) {
        world.at(atMs, () => {
          const replica = world.replicas[2]!;
          replica.mood = replica.mood === 'well' ? 'error-500' : 'well';
        });
      }
    },
  },
  {
    name: 'all bad at once',
    failedMax: 1,
    faults: (world: GatewayWorld) => {
      world.at(FAULTS_MS[0], () => {
        for (const replica of world.replicas) replica.mood = 'error-500';
      });
    },
  },
  {
    name: 'two of four gone, their load on the rest',
    failedMax: 0.05,
    faults: (world: GatewayWorld) => {
      world.at(FAULTS_MS[0], () => (world.replicas[0]!.mood = 'error-500'));
      world.at(FAULTS_MS[0] + 5_000, () => (world.replicas[3]!.mood = 'error-500'));
    },
  },
  {
    name: 'a storm of moods',
    failedMax: 1,
    faults: (world: GatewayWorld, chance: ReturnType<typeof createRandom>) => {
      for (let atMs: number = FAULTS_MS[0]; atMs < FAULTS_MS[1]; atMs += 50 + chance.int(500)) {
        world.at(atMs, () => {
          const replica = chance.pick(world.replicas);
          replica.mood = chance.pick(['well', 'error-500', 'busy-503'] as const);
          replica.slowness = chance.pick([1, 1, 4]);
          if (chance.int(20) === 0) world.restart(world.replicas.indexOf(replica));
        });
      }
    },
  },
])('$name', ({ name, failedMax, faults }) => {
  it(`never falls below the floor, and is whole again after it, over ${SEEDS} seeds`, () => {
    const failed: number[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = run(seed, faults);
      failed.push(failedIn(world, FAULTS_MS));
      expect(failed.at(-1), `seed ${seed}`).toBeLessThanOrEqual(failedMax);
      expect(failedIn(world, [FAULTS_MS[1] + 1_000, 140_000]), `seed ${seed}`).toBe(0);
      const late = world.health.filter((state) => state.name !== 'serving');
      expect(late, `seed ${seed}, ${WHOLE_AGAIN_MS} ms after the faults`).toEqual([]);
    }
    console.log(
      `${name}: ${(100 * quantile(failed, 0.5)).toFixed(2)} % of requests failed at the median of seeds`,
    );
  });
});
