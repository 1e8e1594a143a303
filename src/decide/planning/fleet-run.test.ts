import { describe, expect, it } from 'vitest';
import type { Traffic } from '../../contract/planning.ts';
import { runFleet, saturate } from './fleet-run.ts';
import type { EngineShape } from './planned-engine.ts';

/** Each request takes one step of 10 ms, one at a time: a server with constant service. */
const CONSTANT: EngineShape = {
  costs: { c0: 10, c1: 0, c2: 0, c3: 0, c4: 0 },
  maxNumSeqs: 1,
  maxBatchedTokens: 64,
  kvBlocks: 100,
};

const traffic = (rate: number, change: Partial<Traffic> = {}): Traffic => ({
  rate,
  promptTokens: 10,
  outputTokens: 1,
  lengths: 'fixed',
  arrivals: 'poisson',
  prefixHits: 0,
  ...change,
});

const run = (rate: number, replicas: number, change: Partial<Traffic> = {}) =>
  runFleet({ shape: CONSTANT, replicas, traffic: traffic(rate, change), seed: 3, durationMs: 10 });

describe('runFleet', () => {
  it('waits as queueing theory says of one server with constant service (M/D/1)', () => {
    // At 50 % load P(no wait) is 0.5, and P(wait <= one service) is (1 - ρ)·e^ρ = 0.824 (Erlang).
    const { ttft } = run(50, 1);
    expect(ttft.percentile(46)).toBeCloseTo(10, 0);
    expect(ttft.percentile(54)).toBeGreaterThan(10.3);
    expect(ttft.percentile(79)).toBeLessThan(20);
    expect(ttft.percentile(86)).toBeGreaterThan(20);
  });

  it('makes nobody wait when requests come evenly and there is room', () => {
    expect(run(90, 1, { arrivals: 'even' }).ttft.percentile(99)).toBeCloseTo(10, 0);
  });

  it('sends each request to the replica with the fewest in flight', () => {
    // Two servers with one queue each, at 40 % load: a request waits only where both are busy.
    expect(run(80, 2).ttft.percentile(75)).toBeCloseTo(10, 0);
  });

  it('is the same again for the same seed', () => {
    expect(run(70, 1).ttft.percentile(99)).toBe(run(70, 1).ttft.percentile(99));
  });

  it('measures gaps between tokens, not from arrival', () => {
    const { itl, ttft } = runFleet({
      shape: { ...CONSTANT, maxNumSeqs: 8 },
      replicas: 1,
      traffic: traffic(1, { outputTokens: 50 }),
      seed: 3,
      durationMs: 500,
    });
    expect(itl.percentile(50)).toBeCloseTo(10, 0);
    expect(ttft.percentile(50)).toBeGreaterThan(9.9);
  });
});

describe('saturate', () => {
  it('finds what one engine can do', () => {
    expect(saturate(CONSTANT, traffic(1), 1, 1).rate).toBeCloseTo(100, 0);
  });

  it('does not depend on all beginning at once: fixed lengths give the throughput of the full batch', () => {
    const shape = { ...CONSTANT, maxNumSeqs: 10, maxBatchedTokens: 4096 };
    const { rate, durationMs } = saturate(shape, traffic(1, { outputTokens: 20 }), 10, 1);
    // Ten at once, 20 steps of 10 ms each.
    expect(rate).toBeGreaterThan(47);
    expect(rate).toBeLessThan(53);
    expect(durationMs).toBeCloseTo(200, -1);
  });
});
