/**
 * Runs engines in virtual time: a fleet under the traffic of a plan, where each request goes to the replica with the fewest in
 * flight, and one engine that always has more to do than it can, whose throughput is the capacity of a replica.
 */
import { type HeapItem, IndexedHeap } from '../../base/indexed-heap.ts';
import type { Traffic } from '../../contract/planning.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { type EngineShape, PlannedEngine, type PlannedSequence } from './planned-engine.ts';
import { requestSource } from './request-source.ts';

/** Requests whose times count: 20 of them are beyond the 99th percentile. */
const MEASURED_MIN = 2000;
/** Until the fleet is as full as it stays, in durations of a request. */
const WARM_UP_DURATIONS = 1.5;
const MEASURED_DURATIONS = 2;

export interface FleetRun {
  ttft: LatencyHistogram;
  itl: LatencyHistogram;
  duration: LatencyHistogram;
  cacheUsed: { mean: number; peak: number };
  running: { mean: number; peak: number };
  preemptionsPerRequest: number;
  /** Largest loads of a step, to compare with what a calibration has measured. */
  largest: { prefillTokens: number; decodeBatch: number; decodeContext: number };
}

class Replica implements HeapItem {
  heapAt = -1;
  endsAtMs = 0;
  readonly engine: PlannedEngine;

  constructor(engine: PlannedEngine) {
    this.engine = engine;
  }
}

export interface FleetTask {
  shape: EngineShape;
  replicas: number;
  traffic: Traffic;
  seed: number;
  /** How long a request takes about, for the warm-up. */
  durationMs: number;
}

export function runFleet({ shape, replicas: count, traffic, seed, durationMs }: FleetTask): FleetRun {
  const run = emptyRun();
  const source = requestSource(traffic, seed);
  const duringMs = (durations: number) => Math.ceil((durations * durationMs * traffic.rate) / 1000);
  const warm = Math.max(20, duringMs(WARM_UP_DURATIONS));
  const measured = Math.max(MEASURED_MIN, duringMs(MEASURED_DURATIONS));
  // Those that come after the measured ones keep the load up until these are done.
  const total = warm + measured + warm;
  let unfinished = measured;
  const listener = {
    onToken: (sequence: PlannedSequence, gapMs: number) => {
      if (!sequence.isMeasured) return;
      if (sequence.generated === 1) run.ttft.add(gapMs);
      else run.itl.add(gapMs);
    },
    onFinished: (sequence: PlannedSequence, nowMs: number) => {
      if (!sequence.isMeasured) return;
      unfinished--;
      run.duration.add(nowMs - sequence.arrivedMs);
    },
  };
  const replicas = Array.from({ length: count }, () => new Replica(new PlannedEngine(shape, listener)));
  const busy = new IndexedHeap<Replica>((a, b) => a.endsAtMs < b.endsAtMs);
  const observed = { ms: 0, cache: 0, running: 0 };

  const startStep = (replica: Replica, nowMs: number) => {
    const step = replica.engine.plan(nowMs);
    if (step === null) return;
    replica.endsAtMs = nowMs + step.durationMs;
    busy.push(replica);
    const { usedShare, running } = replica.engine;
    observed.cache += usedShare * step.durationMs;
    observed.running += running.length * step.durationMs;
    run.cacheUsed.peak = Math.max(run.cacheUsed.peak, usedShare);
    run.running.peak = Math.max(run.running.peak, running.length);
    for (const load of ['prefillTokens', 'decodeBatch', 'decodeContext'] as const)
      run.largest[load] = Math.max(run.largest[load], step[load]);
  };

  let arrived = 0;
  let nextArrivalMs = source.gapMs();
  let nowMs = 0;
  while (unfinished > 0) {
    const first = busy.first;
    if (arrived < total && (first === undefined || nextArrivalMs <= first.endsAtMs)) {
      nowMs = nextArrivalMs;
      const replica = leastInFlight(replicas, arrived);
      replica.engine.add(source.sequence(nowMs, arrived >= warm && arrived < warm + measured));
      if (replica.heapAt < 0) startStep(replica, nowMs);
      arrived++;
      nextArrivalMs += source.gapMs();
    } else if (first !== undefined) {
      nowMs = first.endsAtMs;
      busy.shift();
      first.engine.complete(nowMs);
      startStep(first, nowMs);
    } else break;
  }
  const replicaMs = Math.max(1, nowMs) * count;
  run.cacheUsed.mean = observed.cache / replicaMs;
  run.running.mean = observed.running / replicaMs;
  const preemptions = replicas.reduce((sum, { engine }) => sum + engine.preemptions, 0);
  run.preemptionsPerRequest = preemptions / arrived;
  return run;
}

function emptyRun(): FleetRun {
  return {
    ttft: new LatencyHistogram(),
    itl: new LatencyHistogram(),
    duration: new LatencyHistogram(),
    cacheUsed: { mean: 0, peak: 0 },
    running: { mean: 0, peak: 0 },
    preemptionsPerRequest: 0,
    largest: { prefillTokens: 0, decodeBatch: 0, decodeContext: 0 },
  };
}

/** Of those with equally few, another one each time. */
function leastInFlight(replicas: readonly Replica[], turn: number): Replica {
  let best = replicas[turn % replicas.length]!;
  for (let offset = 1; offset < replicas.length; offset++) {
    const candidate = replicas[(turn + offset) % replicas.length]!;
    if (candidate.engine.inFlight < best.engine.inFlight) best = candidate;
  }
  return best;
}

export interface Saturation {
  /** Requests per second that one replica finishes. */
  rate: number;
  /** Mean time from admission to the last token. */
  durationMs: number;
}

const SATURATED_ROUNDS = 6;

/** @param places sequences that fit at once. */
export function saturate(shape: EngineShape, traffic: Traffic, places: number, seed: number): Saturation {
  const source = requestSource(traffic, seed);
  const inBatch = Math.max(1, Math.min(places, shape.maxNumSeqs));
  const total = Math.max(240, inBatch * SATURATED_ROUNDS);
  let finished = 0;
  let fromMs = 0;
  let toMs = 0;
  let heldMs = 0;
  const ignored = Math.max(20, inBatch);
  const counted = total - 2 * ignored;
  const engine = new PlannedEngine(shape, {
    onToken: () => {},
    onFinished: (sequence, nowMs) => {
      finished++;
      if (finished === ignored) fromMs = nowMs;
      if (finished > ignored && finished <= ignored + counted) heldMs += nowMs - sequence.admittedMs;
      if (finished === ignored + counted) toMs = nowMs;
    },
  });
  // The first ones are on their way already, each elsewhere: otherwise all would begin and end together, for ever.
  for (let index = 0; index < total; index++)
    engine.add(source.sequence(0, true, index < inBatch ? (index + 0.5) / inBatch : 0));
  let nowMs = 0;
  while (toMs === 0) {
    const step = engine.plan(nowMs);
    if (step === null) break;
    nowMs += step.durationMs;
    engine.complete(nowMs);
  }
  return { rate: (counted / (toMs - fromMs)) * 1000, durationMs: heldMs / counted };
}
