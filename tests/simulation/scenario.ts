/**
 * What a seed stands for: a fleet, the numbers of its supervisor, and which faults happen how often. Each kind of fault is on
 * in some seeds and off in others, so that one kind does not hide what another would show.
 */
import { createRandom, type Random } from '../../src/base/random.ts';
import { DEFAULT_RECOVERY_POLICY } from '../../src/contract/recovery-defaults.ts';
import type { RecoveryPolicy } from '../../src/contract/recovery-policy.ts';
import type { RecoverySettings } from '../../src/decide/recovery/recovery-settings.ts';
import type { RemedyMeans, ReplicaSpec } from '../../src/decide/recovery/replica.ts';

export interface Faults {
  /** Mean life of a process, ms; Infinity: it lives. */
  meanLifeMs: number;
  /** Shares of processes, 0..1. */
  diesAtStart: number;
  neverReady: number;
  ignoresTerm: number;
  hidesTag: number;
  stalls: number;
  hangsOnKill: number;
  /** Make no step any more from some moment on, and answer health checks all the same. */
  hangs: number;
  /** Share of orders that are carried out, but whose answer is lost. */
  answerLost: number;
  /** Share of orders that are never carried out. */
  orderLost: number;
  /** Share of orders that take long. */
  orderSlow: number;
  diskFull: number;
  /** Mean time between deaths of the supervisor, ms. */
  meanSupervisorLifeMs: number;
  /** Mean time between commands, ms. */
  meanCommandMs: number;
  /** Mean time between facts of gateways, ms. */
  meanFactMs: number;
}

export interface Scenario {
  settings: RecoverySettings;
  specs: ReplicaSpec[];
  faults: Faults;
  faultsEndMs: number;
  /** Faults are over and this has passed: everything is well again. */
  healedMs: number;
}

export const START_TIMEOUT_MS = 4_000;

export function drawScenario(random: Random, storm: boolean): Scenario {
  const settings = drawSettings(random, storm);
  const faultsEndMs = (storm ? 120_000 : 20_000) + random.int(40_000);
  return {
    settings,
    specs: drawSpecs(random, storm),
    faults: storm ? drawStorm(random) : drawFaults(random),
    faultsEndMs,
    healedMs: faultsEndMs + healingBoundMs(settings),
  };
}

/** Restarts alone, without a last step that gives up: every engine must come back that the limit on restarts lets. */
const RESTARTS = { ladder: [{ remedy: 'restart_process', times: 1 } as const], delayMs: 0 };
const POLICY: RecoveryPolicy = {
  ...DEFAULT_RECOVERY_POLICY,
  verifyMs: 3_000,
  ladderWindowMs: 20_000,
  strategies: { ...DEFAULT_RECOVERY_POLICY.strategies, hung: RESTARTS, unknown: RESTARTS },
};

function drawSettings(random: Random, storm: boolean): RecoverySettings {
  return {
    restartsMax: 2 + random.int(storm ? 2 : 4),
    restartWindowMs: 8_000 + random.int(8_000),
    backoff: { initialMs: 50 + random.int(200), maxMs: 2_000, jitterRatio: 0.2 },
    stableAfterMs: 3_000,
    probeIntervalMs: 1_500 + random.int(1_500),
    probeTimeoutMs: 400,
    generationTimeoutMs: 1_000,
    probeFailuresMax: 1 + random.int(3),
    reprobeMs: 250,
    drainTimeoutMs: 2_000,
    settleMs: 100,
    termGraceMs: 800,
    killRetryMs: 500,
    spawnTimeoutMs: 1_500,
    answerSlackMs: 300,
    localTimeoutMs: 500,
    captureMs: 200,
    growMs: 2_000,
    policy: POLICY,
  };
}

/** Two replicas whose first processes hang after a while, and nothing else goes wrong. */
export function hangingScenario(): Scenario {
  const settings = drawSettings(createRandom(1), true);
  const faultsEndMs = 3_000;
  return {
    settings: { ...settings, restartsMax: 3 },
    specs: [spec('p0', 0), spec('p0', 1)],
    faults: { ...NO_FAULTS, hangs: 1 },
    faultsEndMs,
    healedMs: faultsEndMs + healingBoundMs(settings),
  };
}

const NO_FAULTS: Faults = {
  meanLifeMs: Number.POSITIVE_INFINITY,
  diesAtStart: 0,
  neverReady: 0,
  ignoresTerm: 0,
  hidesTag: 0,
  stalls: 0,
  hangsOnKill: 0,
  hangs: 0,
  answerLost: 0,
  orderLost: 0,
  orderSlow: 0,
  diskFull: 0,
  meanSupervisorLifeMs: Number.POSITIVE_INFINITY,
  meanCommandMs: Number.POSITIVE_INFINITY,
  meanFactMs: Number.POSITIVE_INFINITY,
};

/**
 * The worst that may still lie ahead when faults stop: a start that runs out of its time and an end by force, the longest
 * backoff, another start; and all that once more per replica for a rolling restart under way.
 */
function healingBoundMs({ drainTimeoutMs, termGraceMs, killRetryMs, backoff }: RecoverySettings): number {
  const once =
    START_TIMEOUT_MS + drainTimeoutMs + termGraceMs + 3 * killRetryMs + backoff.maxMs * 1.2 + 3_000;
  return 4 * once;
}

function drawSpecs(random: Random, storm: boolean): ReplicaSpec[] {
  const specs: ReplicaSpec[] = [];
  const pools = storm ? 2 : 1 + random.int(3);
  for (let pool = 0; pool < pools; pool++) {
    const watched = !storm && random.next() < 0.1;
    const size = storm ? 3 : 1 + random.int(3);
    for (let ordinal = 0; ordinal < size; ordinal++) specs.push(spec(`p${pool}`, ordinal, watched));
  }
  return specs;
}

/** Everything that a remedy may need. */
const MEANS: RemedyMeans = { abort: true, clearCaches: true, saferSteps: 2, spareDevices: 1, window: 8 };

export function spec(pool: string, ordinal: number, watched = false, launchHash = 'a'): ReplicaSpec {
  const id = `${pool}/${ordinal}`;
  const url = watched ? `http://elsewhere/${id}` : null;
  return {
    id,
    pool,
    managed: !watched,
    launchHash,
    url,
    startTimeoutMs: START_TIMEOUT_MS,
    standby: false,
    means: MEANS,
  };
}

/**
 * Another configuration: pools unloaded and loaded, scaled down and up, and some replicas launched differently.
 *
 * @param first those of the scenario. @param current those that are configured.
 */
export function drawOtherSpecs(
  random: Random,
  first: readonly ReplicaSpec[],
  current: readonly ReplicaSpec[],
): ReplicaSpec[] {
  const others = current.filter(({ pool }) => pool !== 'loaded');
  if (others.length > 0 && random.next() < 0.6) return [...others, ...drawLoadedPool(random)];
  const hash = random.pick(['a', 'b', 'c']);
  const pools = [...new Set(first.map(({ pool }) => pool))];
  const unloaded = random.next() < 0.3 ? random.pick(pools) : null;
  const kept = first.filter(({ pool }) => pool !== unloaded && random.next() < 0.8);
  const specs = kept.length === 0 ? first : kept;
  return [
    ...specs.map(({ pool, id, managed }) =>
      spec(pool, Number(id.slice(pool.length + 1)), !managed, random.next() < 0.3 ? hash : 'a'),
    ),
    ...drawFurther(random, first, pools[0] ?? 'p0'),
    ...drawLoadedPool(random),
  ];
}

/** A pool that no configuration named at the start; empty: it is unloaded again. */
function drawLoadedPool(random: Random): ReplicaSpec[] {
  return Array.from({ length: random.int(3) }, (_, ordinal) => spec('loaded', ordinal));
}

/** One more replica of a pool that was there. */
function drawFurther(random: Random, first: readonly ReplicaSpec[], pool: string): ReplicaSpec[] {
  const isWatched = first.some((known) => known.pool === pool && !known.managed);
  return random.next() < 0.3 && !isWatched ? [spec(pool, 7)] : [];
}

function drawFaults(random: Random): Faults {
  const sometimes = <Value>(value: Value, otherwise: Value) => (random.next() < 0.5 ? value : otherwise);
  const share = (most: number) => sometimes(random.next() * most, 0);
  const mean = (least: number, most: number) =>
    sometimes(between(random, least, most), Number.POSITIVE_INFINITY);
  return {
    meanLifeMs: mean(500, 15_000),
    diesAtStart: share(0.8),
    neverReady: share(0.4),
    ignoresTerm: share(0.8),
    hidesTag: share(0.2),
    stalls: share(0.5),
    hangsOnKill: share(0.3),
    hangs: share(0.4),
    answerLost: share(0.2),
    orderLost: share(0.1),
    orderSlow: share(0.3),
    diskFull: share(0.3),
    meanSupervisorLifeMs: mean(300, 8_000),
    meanCommandMs: mean(500, 6_000),
    meanFactMs: mean(200, 2_000),
  };
}

/** Every kind of fault, each so often that it happens many times, and none so often that nothing else does. */
function drawStorm(random: Random): Faults {
  return {
    meanLifeMs: between(random, 4_000, 12_000),
    diesAtStart: between(random, 0.2, 0.4),
    neverReady: 0.1,
    ignoresTerm: 0.4,
    hidesTag: 0.2,
    stalls: 0.2,
    hangsOnKill: 0.1,
    hangs: 0.6,
    answerLost: between(random, 0.1, 0.15),
    orderLost: 0.03,
    orderSlow: 0.1,
    diskFull: 0.05,
    meanSupervisorLifeMs: between(random, 4_000, 9_000),
    meanCommandMs: between(random, 800, 2_000),
    meanFactMs: between(random, 500, 1_500),
  };
}

function between(random: Random, least: number, most: number): number {
  return least + random.next() * (most - least);
}
