/**
 * Recovery over long times: worlds with the numbers that a real supervisor has, in which faults come as rarely as the user says.
 * One after the other by seed; what the ledgers say is added up.
 */
import { DEFAULT_RECOVERY_SETTINGS } from '../../decide/recovery/recovery-settings.ts';
import type { HoursFigures } from './hours-options.ts';
import type { Ledger } from './ledger.ts';
import { healingBoundMs, type Scenario, spec } from './scenario.ts';
import { simulate } from './simulate.ts';

const HOUR_MS = 3_600_000;
/** Rare enough that a day costs little, and often enough for a drain. */
const ASK_MS = 5_000;
/** Nine tenths of the work of a simulation is to look at engines that are well. */
const QUIET_LOOK_MS = 30_000;
const START_TIMEOUT_FACTOR = 3;
/** Longer than a probe may take: an answer that is lost at the end of a start is no reason to end it. */
const START_TIMEOUT_MS_MIN = 120_000;

export interface SeedResult {
  seed: number;
  availability: number;
  restarts: number;
  falseRestarts: number;
  quarantines: number;
  /** What did not hold; null: all did. */
  violation: string | null;
}

interface Spread {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  count: number;
}

export interface HoursResult {
  simulatedHours: number;
  /** Times the hours of a replica. */
  replicaHours: number;
  /** Share of the time in which a replica could serve and was in rotation. */
  availability: number;
  /** Share of the time in which one was in rotation and could not serve. */
  deceived: number;
  restarts: number;
  falseRestarts: number;
  quarantines: number;
  /** From the moment when a replica could serve no more. */
  untilServing: Spread;
  untilDetected: Spread;
  seeds: SeedResult[];
  worst: SeedResult;
  violations: SeedResult[];
}

function scenarioOf(figures: HoursFigures): Scenario {
  const startMs = figures['start-s'] * 1_000;
  const startTimeoutMs = Math.max(START_TIMEOUT_MS_MIN, startMs * START_TIMEOUT_FACTOR);
  const every = (hours: number) => (hours === 0 ? Number.POSITIVE_INFINITY : hours * HOUR_MS);
  const fleet = figures.pools * figures.replicas;
  const settings = DEFAULT_RECOVERY_SETTINGS;
  const faultsEndMs = figures.hours * HOUR_MS;
  const specs = Array.from({ length: figures.pools }, (_, pool) =>
    Array.from({ length: figures.replicas }, (__, ordinal) => ({
      ...spec(`p${pool}`, ordinal),
      startTimeoutMs,
    })),
  ).flat();
  return {
    settings,
    specs,
    faultsEndMs,
    healedMs: faultsEndMs + healingBoundMs(settings, startTimeoutMs),
    pace: {
      askMs: ASK_MS,
      quietLookMs: QUIET_LOOK_MS,
      lastTrouble: false,
      attendedAfterMs: every(figures['attended-after']),
    },
    faults: {
      meanLifeMs: every(figures['crash-every']),
      diesAtStart: figures['bad-start'],
      neverReady: figures['never-ready'],
      ignoresTerm: figures['ignores-term'],
      hidesTag: 0,
      stalls: 0,
      hangsOnKill: 0,
      hangs: 0,
      meanStallMs: every(figures['stall-every']) / fleet,
      meanHangMs: every(figures['hang-every']) / fleet,
      meanPrefillMs: every(figures['prefill-every']) / fleet,
      startMs: { least: Math.ceil(startMs), spread: Math.ceil(startMs / 2) },
      answerLost: figures['answer-lost'],
      orderLost: 0,
      orderSlow: figures['answer-lost'],
      diskFull: 0,
      meanSupervisorLifeMs: every(figures['supervisor-every']),
      meanCommandMs: Number.POSITIVE_INFINITY,
      meanFactMs: Number.POSITIVE_INFINITY,
    },
  };
}

/** @param onSeed told of each seed that begins. */
export function simulateHours(figures: HoursFigures, onSeed: (seed: number) => void = () => {}): HoursResult {
  const ledgers: Ledger[] = [];
  const seeds: SeedResult[] = [];
  for (let seed = figures.seed; seed < figures.seed + figures.seeds; seed++) {
    onSeed(seed);
    const { ledger, violation } = simulate(seed, { scenario: scenarioOf(figures), measured: true });
    if (ledger === null) continue;
    ledgers.push(ledger);
    const { restarts, falseRestarts, quarantines, servingMs, replicaMs } = ledger;
    seeds.push({
      seed,
      availability: servingMs / replicaMs,
      restarts,
      falseRestarts,
      quarantines,
      violation,
    });
  }
  const sum = (read: (ledger: Ledger) => number) =>
    ledgers.reduce((total, ledger) => total + read(ledger), 0);
  const replicaMs = sum((ledger) => ledger.replicaMs);
  const violations = seeds.filter(({ violation }) => violation !== null);
  return {
    simulatedHours: figures.hours * figures.seeds,
    replicaHours: replicaMs / HOUR_MS,
    availability: sum((ledger) => ledger.servingMs) / replicaMs,
    deceived: sum((ledger) => ledger.deceivedMs) / replicaMs,
    restarts: sum((ledger) => ledger.restarts),
    falseRestarts: sum((ledger) => ledger.falseRestarts),
    quarantines: sum((ledger) => ledger.quarantines),
    untilServing: spreadOf(ledgers.flatMap(({ outagesMs }) => outagesMs)),
    untilDetected: spreadOf(ledgers.flatMap(({ detectedMs }) => detectedMs)),
    seeds,
    worst: violations[0] ?? seeds.reduce((a, b) => (b.availability < a.availability ? b : a)),
    violations,
  };
}

/** What happened in one seed; probes and looks that found nothing are left out. */
export function traceHours(figures: HoursFigures): string[] {
  const { trace, violation } = simulate(figures.seed, { scenario: scenarioOf(figures), traced: true });
  const told = trace.filter((line) => !QUIET.test(line));
  return violation === null ? told : [...told, `did not hold: ${violation}`];
}

const QUIET = /"type":"(inFlightReported|probed?|diagnosed|persist(ed)?|publish|ticked)"/;

function spreadOf(times: readonly number[]): Spread {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0, count: sorted.length };
}
