import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AdaptiveLimitState,
  DEFAULT_TARGETS,
  DEFAULT_WINDOW_SAMPLES,
  type LoadSample,
  startLimit,
  stepLimit,
} from './adaptive-limit.ts';
import { replicasWanted, scaleOutRatio } from './scale-out.ts';

const settings = { min: 16, max: 1024, targets: DEFAULT_TARGETS, windowSamples: DEFAULT_WINDOW_SAMPLES };
const calm: LoadSample = { eventLoopDelayMs: 10, gcPauseRatio: 0.01, cpuRatio: 0.5, backlogRatio: 0.1 };
const run = (state: AdaptiveLimitState, sample: LoadSample, times: number) => {
  for (let time = 0; time < times; time++) state = stepLimit(state, sample, settings);
  return state;
};

describe('stepLimit', () => {
  it.each([
    ['event loop stalls', { eventLoopDelayMs: 900 }],
    ['garbage collection', { gcPauseRatio: 0.5 }],
    ['processors', { cpuRatio: 1 }],
    ['backlog', { backlogRatio: 1 }],
  ] as const)('shrinks under %s, says why, and recovers', (_name, change) => {
    const stalled = run(startLimit(settings), { ...calm, ...change }, 12);
    expect(stalled.limit).toBeLessThan(1024 * 0.85);
    expect(stalled.pressure.signal).toBe(Object.keys(change)[0]);
    expect(run(stalled, calm, 40).limit).toBe(1024);
  });

  it('reaches the floor in a long stall, and is back at the top within 40 calm samples', () => {
    const stalled = run(startLimit(settings), { ...calm, eventLoopDelayMs: 5_000 }, 60);
    expect(stalled.limit).toBe(16);
    expect(run(stalled, calm, 40).limit).toBe(1024);
  });

  it('does not shrink for one bad sample of a window', () => {
    const used = run(startLimit(settings), calm, 20);
    expect(stepLimit(used, { ...calm, eventLoopDelayMs: 500 }, settings).limit).toBe(1024);
  });

  it('stays between its bounds whatever it is told (property)', () => {
    const value = fc.double({ min: 0, max: 1e6 });
    const sample = fc.record({
      eventLoopDelayMs: value,
      gcPauseRatio: value,
      cpuRatio: value,
      backlogRatio: value,
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 40 }), (samples) => {
        let state = startLimit(settings);
        for (const one of samples) {
          state = stepLimit(state, one, settings);
          expect(state.limit).toBeGreaterThanOrEqual(16);
          expect(state.limit).toBeLessThanOrEqual(1024);
          expect(state.samples.length).toBeLessThanOrEqual(DEFAULT_WINDOW_SAMPLES);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the scale-out signal', () => {
  const load = { inFlight: 16, queued: 0, refused: 0, replicas: 2, windows: 32 };

  it('is 1 when replicas carry exactly their target, and asks for as many as the demand needs', () => {
    expect(scaleOutRatio({ ...load, inFlight: 25.6 })).toBe(1);
    expect(replicasWanted(load)).toBe(2);
    expect(replicasWanted({ ...load, inFlight: 32, queued: 32, refused: 13 })).toBe(7);
    expect(replicasWanted({ ...load, inFlight: 0 })).toBe(1);
  });

  it('asks for a replica when there is none', () => {
    const none = { inFlight: 0, queued: 5, refused: 0, replicas: 0, windows: 0 };
    expect([scaleOutRatio(none), replicasWanted(none)]).toEqual([Number.POSITIVE_INFINITY, 1]);
    expect(scaleOutRatio({ ...none, queued: 0 })).toBe(0);
  });
});
