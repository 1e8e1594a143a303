/**
 * Answers a planning question: which GPUs a replica needs, how many replicas hold the objective, how full they are, which limit
 * decides, and what remains when one is lost. All of it for the expected costs of a step, and again for the best and the worst
 * that the error of the costs allows, so that no figure looks surer than it is.
 */
import { type StepCosts, stepMs } from '../../contract/engine-model.ts';
import {
  type Bound,
  type Estimate,
  type MemoryPlan,
  type NoPlan,
  type Plan,
  type PlannedSize,
  type PlanQuestion,
  TENSOR_PARALLEL,
} from '../../contract/planning.ts';
import { costsByDataSheet, type Deployment, type Outlook, planMemory } from './first-principles.ts';
import type { FleetRun } from './fleet-run.ts';
import type { LatencyHistogram } from './latency-histogram.ts';
import { BLOCK_TOKENS, type EngineShape } from './planned-engine.ts';
import { unreachable, withoutRoom } from './remedies.ts';
import { longestTokens } from './request-source.ts';
import { type Measured, Sizing } from './sizing.ts';

const LOADS_SHOWN = [0.2, 0.4, 0.55, 0.7, 0.8, 0.88, 0.95, 1, 1.05];

export function planCapacity(question: PlanQuestion): Plan | NoPlan {
  const places = placesFor(question);
  const [first] = places;
  if (first === undefined) return withoutRoom(question);
  let idle: Measured | null = null;
  for (const place of places) {
    const expected = sizingOf(question, place, 'expected');
    const replicas = expected.smallest();
    if (replicas !== null) return planAt(question, place, expected, replicas, first);
    idle ??= expected.at(expected.least * SPARE_FACTOR);
  }
  return unreachable(question, first.deployment, idle!);
}

/** As many times the replicas that the load needs stand nearly idle. */
const SPARE_FACTOR = 8;

function planAt(
  question: PlanQuestion,
  place: Place,
  expected: Sizing,
  replicas: number,
  first: Place,
): Plan {
  const { deployment, memory } = place;
  const sizings = {
    best: sizingOf(question, place, 'best'),
    expected,
    worst: sizingOf(question, place, 'worst'),
  };
  const measured = expected.at(replicas);
  const byOutlook = {
    best: sizings.best.at(replicas),
    expected: measured,
    worst: sizings.worst.at(replicas),
  };
  const estimate = (read: (run: FleetRun) => number): Estimate => estimateOf(byOutlook, read);
  const latency = (read: (run: FleetRun) => LatencyHistogram) => ({
    p50: estimate((run) => read(run).percentile(50)),
    p99: estimate((run) => read(run).percentile(99)),
  });
  const range = { expected: replicas, best: sizings.best.smallest(), worst: sizings.worst.smallest() };
  const { traffic } = question;
  const gains = gainsOf(question, deployment, memory, expected.saturation.rate);
  const sequences = traffic.outputTokens * replicas;
  return {
    kind: 'plan',
    replicas: range,
    tensorParallel: deployment.tensorParallel,
    gpus: replicas * deployment.tensorParallel,
    utilisation: {
      expected: measured.utilisation,
      best: byOutlook.best.utilisation,
      worst: byOutlook.worst.utilisation,
    },
    ttftMs: latency(({ ttft }) => ttft),
    itlMs: latency(({ itl }) => itl),
    durationMs: latency(({ duration }) => duration),
    outputTokensPerSecond: traffic.rate * traffic.outputTokens,
    outputTokensPerSecondMax: {
      expected: sizings.expected.saturation.rate * sequences,
      best: sizings.best.saturation.rate * sequences,
      worst: sizings.worst.saturation.rate * sequences,
    },
    rateMax: Math.max(traffic.rate, expected.highestRate(replicas)),
    memory,
    cacheUsed: measured.run.cacheUsed,
    running: measured.run.running,
    preemptionsPercent: measured.run.preemptionsPerRequest * 100,
    bound: boundOf(question, expected, replicas, gains),
    gains,
    oneLost: oneLost(expected, replicas, question),
    sizes: sizesAround(expected, replicas, question),
    loads: loadsOf(expected, replicas, question),
    costs: costsOf(question, deployment, 'expected'),
    error: errorOf(question, deployment, measured.run),
    warnings: [
      ...(place === first ? [] : [widened(first.deployment, deployment)]),
      ...warningsFor(question, deployment, measured.run, byOutlook.worst, range),
    ],
  };
}

interface Place {
  deployment: Deployment;
  memory: MemoryPlan;
}

/** Groups of GPUs that hold the weights and the longest sequence, the smallest first. */
function placesFor(question: PlanQuestion): Place[] {
  const { traffic, gpu, model, weights, cache, limits, tensorParallel: asked } = question;
  const sizes = asked === null ? TENSOR_PARALLEL : [asked];
  return (
    sizes
      .map((tensorParallel) => {
        const deployment = { gpu, model, tensorParallel, weights, cache, limits };
        return { deployment, memory: planMemory(deployment, traffic.promptTokens + traffic.outputTokens) };
      })
      .filter(({ memory }) => memory.kvTokens >= longestTokens(traffic) + BLOCK_TOKENS)
      // Costs that were measured hold for the deployment that they were measured on.
      .slice(0, question.calibration === null ? undefined : 1)
  );
}

function costsOf({ calibration }: PlanQuestion, deployment: Deployment, outlook: Outlook): StepCosts {
  if (calibration === null) return costsByDataSheet(deployment, outlook);
  const { costs, meanError } = calibration;
  if (outlook === 'expected') return costs;
  const factor = outlook === 'best' ? 1 - meanError : 1 + meanError;
  return {
    c0: costs.c0 * factor,
    c1: costs.c1 * factor,
    c2: costs.c2 * factor,
    c3: costs.c3 * factor,
    c4: costs.c4 * factor,
  };
}

function shapeOf(costs: StepCosts, { limits }: Deployment, { kvTokens }: MemoryPlan): EngineShape {
  return {
    costs,
    maxNumSeqs: limits.maxNumSeqs,
    maxBatchedTokens: limits.maxBatchedTokens,
    kvBlocks: Math.floor(kvTokens / BLOCK_TOKENS),
  };
}

function sizingOf(question: PlanQuestion, { deployment, memory }: Place, outlook: Outlook): Sizing {
  const { traffic, objective, seed } = question;
  const shape = shapeOf(costsOf(question, deployment, outlook), deployment, memory);
  return new Sizing({ shape, traffic, objective, places: memory.maxSequences, seed });
}

/** Where the queue grows without end, a time would only say how long was looked. */
function estimateOf(by: Record<Outlook, Measured>, read: (run: FleetRun) => number): Estimate {
  const value = ({ missed, run }: Measured) => (missed === 'overload' ? null : read(run));
  return { expected: value(by.expected), best: value(by.best), worst: value(by.worst) };
}

const MORE = 1.25;
const ABOUT_AS_MUCH = 0.05;

/** What a quarter more of each resource adds to the capacity of a replica. */
function gainsOf(
  question: PlanQuestion,
  deployment: Deployment,
  memory: MemoryPlan,
  rate: number,
): Plan['gains'] {
  const costs = costsOf(question, deployment, 'expected');
  const shape = shapeOf(costs, deployment, memory);
  const { traffic, seed } = question;
  const gain = (changed: Partial<EngineShape>) => {
    const more = { ...shape, ...changed };
    const places = (more.kvBlocks * BLOCK_TOKENS) / (traffic.promptTokens + traffic.outputTokens);
    return Math.max(0, saturationRate(more, traffic, Math.floor(places), seed) / rate - 1);
  };
  const { c0, c1, c2, c3, c4 } = costs;
  return {
    compute: gain({ costs: { c0, c1: c1 / MORE, c2: c2 / MORE, c3: c3 / MORE, c4 } }),
    bandwidth: gain({ costs: { c0: c0 / MORE, c1, c2, c3, c4: c4 / MORE } }),
    cache: gain({ kvBlocks: Math.floor(shape.kvBlocks * MORE) }),
    sequences: gain({ maxNumSeqs: Math.floor(shape.maxNumSeqs * MORE) }),
  };
}

function saturationRate(
  shape: EngineShape,
  traffic: PlanQuestion['traffic'],
  places: number,
  seed: number,
): number {
  // The objective has no part in it.
  const objective = { ttftMs: Number.POSITIVE_INFINITY, itlMs: null, percentile: 99 };
  return new Sizing({ shape, traffic, objective, places, seed }).saturation.rate;
}

const percent = (share: number) => `${Math.round(share * 100)} %`;

function boundOf(
  { objective }: PlanQuestion,
  sizing: Sizing,
  replicas: number,
  gains: Plan['gains'],
): Plan['bound'] {
  const { percentile, ttftMs, itlMs } = objective;
  const fewer = replicas > 1 ? sizing.at(replicas - 1) : null;
  if (fewer !== null && (fewer.missed === 'slo-ttft' || fewer.missed === 'slo-itl')) {
    const what =
      fewer.missed === 'slo-ttft'
        ? `time to first token: p${percentile} would be ${round(fewer.run.ttft.percentile(percentile))} ms instead of ${ttftMs}`
        : `gap between tokens: p${percentile} would be ${round(fewer.run.itl.percentile(percentile))} ms instead of ${itlMs}`;
    const load = `${percent(fewer.utilisation)} of their capacity`;
    return {
      name: fewer.missed,
      why: `${fewer.replicas} could do the work, at ${load}, but not within the objective for the ${what}`,
    };
  }
  if (fewer === null)
    return {
      name: 'none',
      why: `one replica is enough, at ${percent(sizing.at(1).utilisation)} of its capacity`,
    };
  // Those that an operator can change on the same GPU come first, where they do about as much.
  const candidates: [Bound, number, string][] = [
    ['kv-capacity', gains.cache, 'memory for the cache'],
    ['max-num-seqs', gains.sequences, 'sequences at once'],
    ['memory-bandwidth', gains.bandwidth, 'memory bandwidth'],
    ['compute', gains.compute, 'throughput'],
  ];
  const most = Math.max(...candidates.map(([, gain]) => gain));
  const [name, gain, what] = candidates.find(([, gain]) => gain >= most - ABOUT_AS_MUCH)!;
  return { name, why: `a quarter more ${what} would let each replica do ${percent(gain)} more` };
}

function oneLost(sizing: Sizing, replicas: number, { traffic, objective }: PlanQuestion): Plan['oneLost'] {
  const more = `plan ${replicas + 1}, so that the objective holds while one restarts`;
  const left = replicas - 1;
  if (left === 0)
    return { replicas: 0, holds: false, utilisation: 0, ttftMs: null, advice: `nothing is served; ${more}` };
  const { utilisation, run, missed } = sizing.at(left);
  const ttftMs = missed === 'overload' ? null : run.ttft.percentile(objective.percentile);
  const common = { replicas: left, holds: missed === null, utilisation, ttftMs };
  if (missed === null) return { ...common, advice: 'the objective holds without it' };
  const serves = `of ${round(traffic.rate)} requests a second the others can do ${round(left * sizing.saturation.rate)}`;
  return { ...common, advice: missed === 'overload' ? `${serves}; ${more}` : more };
}

/** From the smallest that can work to one more than what is advised. */
function sizesAround(sizing: Sizing, replicas: number, question: PlanQuestion): PlannedSize[] {
  const wanted = [replicas - 2, replicas - 1, replicas, replicas + 1, replicas + 2];
  return wanted
    .filter((count) => count >= 1 && count >= sizing.least - 1)
    .map((count) => sizeOf(sizing.at(count), question));
}

function sizeOf({ replicas, utilisation, run, missed }: Measured, { objective }: PlanQuestion): PlannedSize {
  const latencies = (histogram: LatencyHistogram) => ({
    p50: histogram.percentile(50),
    p99: histogram.percentile(99),
    objective: histogram.percentile(objective.percentile),
  });
  return {
    replicas,
    utilisation,
    ttftMs: latencies(run.ttft),
    itlMs: latencies(run.itl),
    holds: missed === null,
  };
}

function loadsOf(sizing: Sizing, replicas: number, { objective }: PlanQuestion): Plan['loads'] {
  return LOADS_SHOWN.map((share) => {
    const rate = share * replicas * sizing.saturation.rate;
    const { run, missed } = sizing.under(replicas, rate);
    return { rate, ttftMs: run.ttft.percentile(objective.percentile), holds: missed === null };
  });
}

function errorOf(question: PlanQuestion, deployment: Deployment, { largest }: FleetRun): Plan['error'] {
  const { calibration } = question;
  if (calibration !== null) {
    const why = `mean error of the fit over ${calibration.steps} measured steps`;
    return { shorter: calibration.meanError, longer: calibration.meanError, why, measured: true };
  }
  // A step with the largest prefill and one that only decodes: the wider range of the two.
  const typical = [
    largest,
    { prefillTokens: 0, decodeBatch: largest.decodeBatch, decodeContext: largest.decodeContext },
  ].map((load) => {
    const ms = (outlook: Outlook) => stepMs(costsByDataSheet(deployment, outlook), load);
    return { shorter: 1 - ms('best') / ms('expected'), longer: ms('worst') / ms('expected') - 1 };
  });
  return {
    shorter: Math.max(...typical.map(({ shorter }) => shorter)),
    longer: Math.max(...typical.map(({ longer }) => longer)),
    why: 'engines reach 35 to 65 % of the throughput and 60 to 92 % of the bandwidth of the data sheet',
    measured: false,
  };
}

function worstCase({ worst }: Estimate): string {
  const enough = worst === null ? 'no number of replicas does' : `${worst} do`;
  return `if steps are as long as the error allows, so many replicas do not hold the objective; ${enough}`;
}

function widened({ tensorParallel: fits }: Deployment, { tensorParallel, gpu }: Deployment): string {
  return `the model fits on ${fits} x ${gpu.name}, but only ${tensorParallel} together are fast enough for the objective`;
}

function warningsFor(
  { calibration, gpu, model, weights }: PlanQuestion,
  { tensorParallel }: Deployment,
  { largest, preemptionsPerRequest }: FleetRun,
  worst: Measured,
  replicas: Estimate,
): string[] {
  const warnings: string[] = [];
  if (calibration === null && weights === 'fp8' && gpu.tflops.fp8 === null)
    warnings.push(`${gpu.name} has no fp8 units: weights are kept in fp8 and multiplied in bf16`);
  if (model.activeParams < model.params)
    warnings.push('of a model with experts all weights are read in each step; small batches read fewer');
  if (tensorParallel > 1 && gpu.link === 'pcie')
    warnings.push(`${tensorParallel} GPUs reach each other over PCIe: sharing a model over it is slow`);
  if (preemptionsPerRequest > 0.01)
    warnings.push(
      `the cache is short: ${percent(preemptionsPerRequest)} of the requests lose theirs once and begin again`,
    );
  if (calibration !== null) warnings.push(...extrapolations(calibration, largest));
  if (worst.missed !== null) warnings.push(worstCase(replicas));
  return warnings;
}

const LOAD_WORDS = {
  prefillTokens: 'tokens of prefill in one step',
  decodeBatch: 'sequences in one step',
  decodeContext: 'tokens of context in one step',
} as const;

function extrapolations(
  { measuredTo, undetermined }: NonNullable<PlanQuestion['calibration']>,
  largest: FleetRun['largest'],
): string[] {
  const beyond = (Object.keys(LOAD_WORDS) as (keyof typeof LOAD_WORDS)[])
    .filter((load) => largest[load] > measuredTo[load] * 1.1)
    .map(
      (load) =>
        `beyond what was measured: up to ${largest[load]} ${LOAD_WORDS[load]}, measured up to ${measuredTo[load]}`,
    );
  if (undetermined.length === 0) return beyond;
  return [...beyond, `the measured steps say nothing about ${undetermined.join(', ')}: taken as 0`];
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
