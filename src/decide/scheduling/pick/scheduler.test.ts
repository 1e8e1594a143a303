import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../base/random.ts';
import { STRATEGY_NAMES, type StrategyName } from '../../../contract/scheduling.ts';
import { PrefixIndex } from '../affinity/prefix-index.ts';
import { PromptBlocks } from '../affinity/prompt-blocks.ts';
import { DATA_NEEDS, type DataNeed, type RequestFacts } from './decision.ts';
import { dynamicWeight } from './dynamic-weight.ts';
import { LOAD_BOUND } from './filters.ts';
import { hashText, ReplicaColumns } from './replica-columns.ts';
import { FULL, NONE_CAPABLE, NONE_READY, Scheduler } from './scheduler.ts';
import { STRATEGIES, strategyProblems } from './strategies.ts';

const ALL_DATA = new Set(Object.keys(DATA_NEEDS) as DataNeed[]);
const REQUEST: RequestFacts = { blocks: null, sessionHash: 0, promptTokens: 100, answerTokens: 50, nowMs: 0 };

function pool(count: number, weights: readonly number[] = []): ReplicaColumns {
  const columns = new ReplicaColumns(count);
  columns.assign(
    Array.from({ length: count }, (_, index) => ({
      id: `m/${index}`,
      slot: index * 3,
      life: 1,
      window: 8,
      weight: weights[index] ?? 1,
    })),
  );
  return columns;
}

function scheduler(strategy: StrategyName, columns: ReplicaColumns, prefixIndex?: PrefixIndex): Scheduler {
  return new Scheduler({
    name: strategy,
    spec: STRATEGIES[strategy],
    columns,
    chance: createRandom(7),
    available: ALL_DATA,
    prefixIndex: prefixIndex ?? new PrefixIndex(new ArrayBuffer(4096)),
  });
}

function sharesOf(decide: () => number, count: number, picks: number): number[] {
  const shares = new Array<number>(count).fill(0);
  for (let pick = 0; pick < picks; pick++) shares[decide()]! += 1 / picks;
  return shares;
}

function expectShares(found: number[], weights: number[]): void {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  weights.forEach((weight, index) => {
    const wanted = weight / sum;
    expect(Math.abs(found[index]! - wanted)).toBeLessThanOrEqual(0.05 * wanted + 1e-3);
  });
}

const anyReplica = fc.record({
  serving: fc.boolean(),
  capable: fc.boolean(),
  avoided: fc.boolean(),
  inFlight: fc.nat(5),
  window: fc.integer({ min: 1, max: 5 }),
  work: fc.nat(10_000),
  share: fc.double({ min: 0.05, max: 1, noNaN: true }),
  windowShare: fc.double({ min: 0.05, max: 1, noNaN: true }),
  gpuLoad: fc.double(),
  memoryUsage: fc.double(),
});
type Replica = typeof anyReplica extends fc.Arbitrary<infer T> ? T : never;
const anyPool = fc.array(anyReplica, { minLength: 1, maxLength: 8 });

function fill(columns: ReplicaColumns, replicas: readonly Replica[]): void {
  replicas.forEach((replica, index) => {
    columns.serving[index] = Number(replica.serving);
    columns.capable[index] = Number(replica.capable);
    columns.avoided[index] = Number(replica.avoided);
    columns.inFlight[index] = replica.inFlight;
    columns.window[index] = replica.window;
    columns.work[index] = replica.work;
    columns.share[index] = replica.share;
    columns.windowShare[index] = replica.windowShare;
    columns.gpuLoad[index] = replica.gpuLoad;
    columns.memoryUsage[index] = replica.memoryUsage;
  });
}

describe('every strategy', () => {
  it.each(
    STRATEGY_NAMES,
  )('%s: picks only what may serve and has room, and says truly why it picks none', (name) => {
    fc.assert(
      fc.property(anyPool, fc.nat(), (replicas, sessionHash) => {
        const columns = pool(replicas.length);
        fill(columns, replicas);
        const picked = scheduler(name, columns).decide({ ...REQUEST, sessionHash });
        const serving = replicas.filter((one) => one.serving);
        const capable = serving.filter((one) => one.capable);
        const fresh = capable.filter((one) => !one.avoided);
        const wanted = fresh.length > 0 ? fresh : capable;
        const open = wanted.filter(
          (one) => one.inFlight < Math.max(1, Math.floor(one.window * one.windowShare)),
        );
        if (picked === NONE_READY) expect(serving).toEqual([]);
        else if (picked === NONE_CAPABLE) expect([serving.length > 0, capable.length]).toEqual([true, 0]);
        else if (picked === FULL) expect([wanted.length > 0, open.length]).toEqual([true, 0]);
        else expect(open).toContain(replicas[picked]);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(
    STRATEGY_NAMES,
  )('%s: explains its decision, with scores from 0 to 1, without changing the next', (name) => {
    fc.assert(
      fc.property(anyPool, (replicas) => {
        const columns = pool(replicas.length);
        fill(columns, replicas);
        const asked = scheduler(name, columns);
        const silent = scheduler(name, columns);
        for (let round = 0; round < 4; round++) {
          const picked = asked.decide(REQUEST);
          const told = asked.explain();
          expect(asked.explain()).toEqual(told);
          expect(silent.decide(REQUEST)).toBe(picked);
          expect(told.picked).toBe(picked < 0 ? null : columns.ids[picked]);
          expect(told.verdict === 'picked').toBe(picked >= 0);
          for (const candidate of told.candidates) {
            for (const score of Object.values(candidate.scores)) {
              expect(score).toBeGreaterThanOrEqual(0);
              expect(score).toBeLessThanOrEqual(1);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each(
    STRATEGY_NAMES,
  )('%s: sends the next request to a replica that waits for its probe, whatever its score', (name) => {
    const columns = pool(4);
    columns.share[2] = 0;
    columns.windowShare[2] = 0;
    columns.probe[2] = 1;
    const probing = scheduler(name, columns);
    expect(probing.decide(REQUEST)).toBe(2);
    expect(probing.explain().reason).toBe('m/2 waits for a probe');
    columns.inFlight[2] = 1;
    expect(probing.decide(REQUEST)).not.toBe(2);
    columns.inFlight[2] = 0;
    columns.avoided[2] = 1;
    expect(probing.decide(REQUEST)).not.toBe(2);
  });

  it('has nobody to pick in an empty pool', () => {
    for (const name of STRATEGY_NAMES)
      expect(scheduler(name, new ReplicaColumns(1)).decide(REQUEST)).toBe(NONE_READY);
  });
});

describe('round-robin', () => {
  it('goes round when weights are equal, and passes over what is full', () => {
    const columns = pool(3);
    const rounds = scheduler('round-robin', columns);
    const first = Array.from({ length: 6 }, () => rounds.decide(REQUEST));
    expect(first.slice(0, 3).sort()).toEqual([0, 1, 2]);
    expect(first.slice(3)).toEqual(first.slice(0, 3));
    columns.inFlight[1] = 8;
    expect(new Set(Array.from({ length: 9 }, () => rounds.decide(REQUEST)))).toEqual(new Set([0, 2]));
  });
});

describe('least-connections', () => {
  it('takes the fewest in flight per weight', () => {
    const columns = pool(2, [1, 3]);
    columns.window.fill(100);
    const least = scheduler('least-connections', columns);
    for (let request = 0; request < 40; request++) columns.inFlight[least.decide(REQUEST)]!++;
    expect([...columns.inFlight]).toEqual([10, 30]);
  });
});

describe('dynamic-weighted', () => {
  it('has the weight of the formula, exactly (property)', () => {
    const ratio = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(ratio, ratio, (gpuLoad, memoryUsage) => {
        const denominator = 0.6 * gpuLoad + 0.4 * memoryUsage;
        expect(dynamicWeight(gpuLoad, memoryUsage)).toBe(1 / (denominator < 0.01 ? 0.01 : denominator));
      }),
      { numRuns: 10_000 },
    );
  });

  it('defines what the formula does not: idle replicas, ratios out of range, unknown metrics', () => {
    expect(dynamicWeight(0, 0)).toBe(100);
    expect(dynamicWeight(7, -3)).toBe(1 / 0.6);
    expect(dynamicWeight(Number.NaN, 0.5)).toBeNaN();
    const columns = pool(3);
    columns.gpuLoad.set([0.2, Number.NaN, 0.6]);
    columns.memoryUsage.set([0.2, 0.3, 0.6]);
    const weighted = scheduler('dynamic-weighted', columns);
    const mean = (1 / 0.2 + 1 / 0.6) / 2;
    expectShares(
      sharesOf(() => weighted.decide(REQUEST), 3, 10_000),
      [1 / 0.2, mean, 1 / 0.6],
    );
  });

  it('gives shares that follow the weights within 5 % over 10,000 picks, also when loads change under way (property)', () => {
    const load = fc.double({ min: 0.05, max: 1, noNaN: true });
    const loads = fc.array(fc.tuple(load, load), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(loads, loads, (before, after) => {
        const columns = pool(4);
        const weighted = scheduler('dynamic-weighted', columns);
        for (const phase of [before, after]) {
          phase.forEach(([gpuLoad, memoryUsage], index) => {
            columns.gpuLoad[index] = gpuLoad;
            columns.memoryUsage[index] = memoryUsage;
          });
          const weights = phase.map(([gpuLoad, memoryUsage]) => 1 / (0.6 * gpuLoad + 0.4 * memoryUsage));
          expectShares(
            sharesOf(() => weighted.decide(REQUEST), 4, 10_000),
            weights,
          );
        }
      }),
      { numRuns: 25 },
    );
  });
});

describe('power-of-two', () => {
  it('keeps the difference between replicas small', () => {
    const columns = pool(10);
    columns.window.fill(1000);
    const two = scheduler('power-of-two', columns);
    for (let request = 0; request < 2_000; request++) columns.inFlight[two.decide(REQUEST)]!++;
    expect(Math.max(...columns.inFlight) - Math.min(...columns.inFlight)).toBeLessThan(12);
  });
});

describe('session', () => {
  it('keeps a session where it is when others come and go, and moves only those of the one that goes (property)', () => {
    const columns = pool(5);
    const sessions = scheduler('session', columns);
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.nat(4), (session, gone) => {
        const request = { ...REQUEST, sessionHash: hashText(session) || 1 };
        columns.serving.fill(1);
        const home = sessions.decide(request);
        columns.serving[gone] = 0;
        const then = sessions.decide(request);
        expect(then === home).toBe(gone !== home);
      }),
      { numRuns: 2_000 },
    );
  });

  it('spreads sessions by weight', () => {
    const columns = pool(3, [1, 1, 2]);
    const sessions = scheduler('session', columns);
    let session = 0;
    const decide = () => sessions.decide({ ...REQUEST, sessionHash: hashText(`s${session++}`) });
    const found = sharesOf(decide, 3, 20_000);
    [0.25, 0.25, 0.5].forEach((wanted, index) => {
      expect(Math.abs(found[index]! - wanted)).toBeLessThan(0.02);
    });
  });
});

describe('prefix-cache', () => {
  const prompt = (text: string) => new PromptBlocks().start(1).add(text);

  it('goes where the prompt has been, unless the load says otherwise', () => {
    const columns = pool(4);
    const prefix = scheduler('prefix-cache', columns);
    const request = {
      ...REQUEST,
      blocks: prompt('a long shared beginning. '.repeat(100)),
      promptTokens: 600,
    };
    const home = prefix.decide(request);
    prefix.settle(home, request);
    expect(Array.from({ length: 5 }, () => prefix.decide(request))).toEqual(new Array(5).fill(home));
    columns.work[home] = 100_000;
    expect(prefix.decide(request)).not.toBe(home);
  });

  it('never gives a replica more than 1.2 times the work that the least-loaded choice would have (property)', () => {
    const replicas = fc.array(fc.record({ work: fc.nat(20_000), seen: fc.nat(8) }), {
      minLength: 2,
      maxLength: 12,
    });
    fc.assert(
      fc.property(replicas, fc.integer({ min: 1, max: 4_000 }), (loads, promptTokens) => {
        const columns = pool(loads.length);
        const index = new PrefixIndex(new ArrayBuffer(65_536));
        const prefix = scheduler('prefix-cache', columns, index);
        const text = 'x'.repeat(256 * 8);
        loads.forEach(({ work, seen }, at) => {
          columns.work[at] = work;
          index.remember(prompt(text.slice(0, 256 * seen)), columns.slot[at]!, 1, 0);
        });
        const request = { ...REQUEST, blocks: prompt(text), promptTokens };
        const picked = prefix.decide(request);
        const whole = promptTokens + request.answerTokens;
        const least = Math.min(...columns.work) + whole;
        expect(columns.work[picked]! + prefix.addedWork(picked)).toBeLessThanOrEqual(LOAD_BOUND * least);
      }),
      { numRuns: 1_000 },
    );
  });

  it('forgets what a replica had seen when it starts anew', () => {
    const columns = pool(2);
    const prefix = scheduler('prefix-cache', columns);
    const request = { ...REQUEST, blocks: prompt('y'.repeat(2_560)), promptTokens: 600 };
    prefix.settle(1, request);
    expect(prefix.decide(request)).toBe(1);
    expect(prefix.explain().candidates[1]?.scores['prefix-depth']).toBe(1);
    columns.life[1] = 2;
    prefix.decide(request);
    expect(prefix.explain().candidates.map(({ scores }) => scores['prefix-depth'])).toEqual([0, 0]);
  });
});

describe('strategyProblems', () => {
  it('finds nothing wrong with the presets when all data is there', () => {
    for (const name of STRATEGY_NAMES) expect(strategyProblems(STRATEGIES[name], ALL_DATA)).toEqual([]);
  });

  it('names the part, what it lacks and where that comes from', () => {
    expect(strategyProblems(STRATEGIES['dynamic-weighted'], new Set(['memory-usage']))).toEqual([
      'scorer "dynamic-weight" needs the metric gpu_load of each replica (a GPU telemetry source), which is missing',
    ]);
    expect(
      () =>
        new Scheduler({
          name: 'prefix-cache',
          spec: STRATEGIES['prefix-cache'],
          columns: pool(1),
          chance: createRandom(1),
          available: new Set(),
        }),
    ).toThrow(/prefix-depth.*needs the prompt/);
  });

  it('refuses unknown parts and weights that are none', () => {
    const spec = {
      filters: ['room', 'toString'],
      scorers: [{ name: 'weight', weight: 0 }],
      picker: 'first',
    } as unknown as (typeof STRATEGIES)['session'];
    expect(strategyProblems(spec, ALL_DATA)).toEqual([
      'unknown filter "toString"; known: serving, capable, fresh, room, load-bound',
      'scorer "weight" has weight 0; a number above 0 is right',
      'unknown picker "first"; known: best, two-choices, rotation',
      'filter "serving" is missing: no strategy goes without it',
    ]);
  });
});
