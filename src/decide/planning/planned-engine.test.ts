import { describe, expect, it } from 'vitest';
import { createRandom } from '../../base/random.ts';
import type { StepLoad } from '../../contract/engine-model.ts';
import { BatchScheduler, type ScheduledSequence } from '../../simulator/scheduling/batch-scheduler.ts';
import { BLOCK_TOKENS, type EngineShape, PlannedEngine, type PlannedSequence } from './planned-engine.ts';

const COSTS = { c0: 10, c1: 0.03, c2: 5e-7, c3: 0.01, c4: 4e-5 };
const silent = { onToken: () => {}, onFinished: () => {} };

interface Length {
  atStep: number;
  promptTokens: number;
  outputTokens: number;
}

function planned({ promptTokens, outputTokens }: Length): PlannedSequence {
  return {
    promptTokens,
    outputTokens,
    arrivedMs: 0,
    cachedTokens: 0,
    isMeasured: true,
    admittedMs: 0,
    computed: 0,
    generated: 0,
    blocks: 0,
    chunk: 0,
    firstTokenMs: 0,
    lastTokenMs: 0,
  };
}

/** Steps of the planner's engine. */
function plannedSteps(
  shape: EngineShape,
  lengths: readonly Length[],
): { steps: StepLoad[]; preemptions: number } {
  const engine = new PlannedEngine(shape, silent);
  const steps: StepLoad[] = [];
  for (let at = 0; ; at++) {
    for (const length of lengths) if (length.atStep === at) engine.add(planned(length));
    const step = engine.plan(0);
    if (step === null && lengths.every(({ atStep }) => atStep <= at)) break;
    if (step === null) continue;
    const { prefillTokens, decodeBatch, decodeContext } = step;
    steps.push({ prefillTokens, decodeBatch, decodeContext });
    engine.complete(0);
  }
  return { steps, preemptions: engine.preemptions };
}

type Simulated = ScheduledSequence & { outputTokens: number };

/** Steps of the simulator's scheduler, whose prompts have nothing in common. */
function simulatedSteps(
  shape: EngineShape,
  lengths: readonly Length[],
): { steps: StepLoad[]; preemptions: number } {
  const scheduler = new BatchScheduler<Simulated>({
    maxNumSeqs: shape.maxNumSeqs,
    maxBatchedTokens: shape.maxBatchedTokens,
    blockSize: BLOCK_TOKENS,
    numBlocks: shape.kvBlocks,
    maxWaiting: 1000,
  });
  let token = 0;
  const steps: StepLoad[] = [];
  for (let at = 0; ; at++) {
    for (const { atStep, promptTokens, outputTokens } of lengths)
      if (atStep === at)
        scheduler.add({
          tokens: Array.from({ length: promptTokens }, () => token++),
          promptLength: promptTokens,
          priority: 0,
          computed: 0,
          held: false,
          holding: { private: 0, shared: [] },
          hashes: [],
          outputTokens,
        });
    const plan = scheduler.plan();
    if (plan.work.length === 0 && lengths.every(({ atStep }) => atStep <= at)) break;
    if (plan.work.length === 0) continue;
    const { prefillTokens, decodeBatch, decodeContext } = plan;
    steps.push({ prefillTokens, decodeBatch, decodeContext });
    scheduler.complete(plan);
    for (const { sequence, yieldsToken } of plan.work) {
      if (!yieldsToken) continue;
      sequence.tokens.push(token++);
      const isLast = sequence.tokens.length === sequence.promptLength + sequence.outputTokens;
      if (isLast) scheduler.remove(sequence);
    }
    // A preempted sequence would find its old blocks in the prefix cache, which the planner leaves out.
    clearPrefixCache(scheduler);
  }
  return { steps, preemptions: scheduler.preemptionsTotal };
}

function clearPrefixCache({ pool }: BatchScheduler<Simulated>): void {
  const all = { private: 0, shared: [] };
  pool.allocate(all, pool.available);
  pool.release(all);
}

describe('PlannedEngine', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('makes the steps of the simulator, seed %d', (seed) => {
    const random = createRandom(seed);
    const shape: EngineShape = {
      costs: COSTS,
      maxNumSeqs: 2 + random.int(12),
      maxBatchedTokens: 64 + random.int(400),
      kvBlocks: 40 + random.int(60),
    };
    const lengths = Array.from({ length: 40 }, () => ({
      atStep: random.int(120),
      promptTokens: 1 + random.int(300),
      outputTokens: 1 + random.int(80),
    })).sort((a, b) => a.atStep - b.atStep);
    const expected = simulatedSteps(shape, lengths);
    const found = plannedSteps(shape, lengths);
    expect(found.steps).toEqual(expected.steps);
    expect(found.preemptions).toBe(expected.preemptions);
  });

  it('is compared where caches run out, too', () => {
    const lengths = Array.from({ length: 12 }, () => ({ atStep: 0, promptTokens: 100, outputTokens: 60 }));
    const shape = { costs: COSTS, maxNumSeqs: 8, maxBatchedTokens: 512, kvBlocks: 40 };
    const { preemptions, steps } = plannedSteps(shape, lengths);
    expect(preemptions).toBeGreaterThan(0);
    expect(simulatedSteps(shape, lengths).steps).toEqual(steps);
  });

  it('computes only what the prefix cache has not', () => {
    const engine = new PlannedEngine(
      { costs: COSTS, maxNumSeqs: 4, maxBatchedTokens: 8192, kvBlocks: 100 },
      silent,
    );
    engine.add({ ...planned({ atStep: 0, promptTokens: 1000, outputTokens: 1 }), cachedTokens: 600 });
    expect(engine.plan(0)?.prefillTokens).toBe(400);
    expect(engine.usedShare).toBeCloseTo(0.63);
  });
});
