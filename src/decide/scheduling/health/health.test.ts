import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AttemptFailure } from '../../../contract/facts.ts';
import { mayEject, servingFloor } from './ejection-floor.ts';
import {
  DEFAULT_HEALTH,
  type HealthEvent,
  type HealthState,
  healthShare,
  startHealth,
  stepHealth,
  takes,
} from './replica-health.ts';
import { stragglerShares } from './stragglers.ts';

const step = (state: HealthState, event: HealthEvent) => stepHealth(state, event, DEFAULT_HEALTH);
const failed = (
  atMs: number,
  change: Partial<Extract<HealthEvent, { type: 'attemptFailed' }>> = {},
): HealthEvent => ({
  type: 'attemptFailed',
  atMs,
  failure: 'engine-error',
  lease: null,
  mayEject: true,
  draw: 0.5,
  ...change,
});
const failing = (times: number, atMs = 0) => {
  let state: HealthState = startHealth(0);
  for (let time = 0; time < times; time++) state = step(state, failed(atMs));
  return state;
};
const probed = (state: HealthState, atMs: number) => step(state, { type: 'probeTaken', atMs, lease: 1 });

describe('stepHealth', () => {
  it('ejects after five failures in a row, for five seconds, and a success in between begins anew', () => {
    expect(failing(4).name).toBe('serving');
    expect(failing(5)).toMatchObject({ name: 'ejected', untilMs: 5_000, ejections: 1 });
    const cleared = step(failing(4), { type: 'attemptSucceeded', atMs: 0, lease: null });
    expect(step(cleared, failed(0)).name).toBe('serving');
  });

  it('lets one probe in when the time is over, and comes back in slow start when it is answered', () => {
    const out = failing(5);
    expect([takes(out, 4_999), takes(out, 5_000)]).toEqual(['nothing', 'probe']);
    const probing = probed(out, 5_000);
    expect(takes(probing, 5_001)).toBe('nothing');
    const back = step(probing, { type: 'attemptSucceeded', atMs: 6_000, lease: 1 });
    expect(takes(back, 6_000)).toBe('freely');
    expect(healthShare(back, 6_000, DEFAULT_HEALTH)).toBeCloseTo(0.1);
    expect(healthShare(back, 21_000, DEFAULT_HEALTH)).toBeCloseTo(0.55);
    expect(healthShare(step(back, { type: 'ticked', atMs: 36_000, draw: 0 }), 36_000, DEFAULT_HEALTH)).toBe(
      1,
    );
  });

  it('ejects for longer each time the probe fails, and forgives what is long ago', () => {
    const again = step(probed(failing(5), 5_000), failed(6_000, { lease: 1 }));
    expect(again).toMatchObject({ name: 'ejected', ejections: 2, untilMs: 16_000 });
    let back = step(probed(again, 16_000), { type: 'attemptSucceeded', atMs: 16_000, lease: 1 });
    for (let atMs = 16_000; atMs < 200_000; atMs += 1_000)
      back = step(back, { type: 'ticked', atMs, draw: 0 });
    expect(back).toMatchObject({ name: 'serving', ejections: 0 });
  });

  it('takes only the probe itself for the probe: what was in flight before says nothing', () => {
    const probing = probed(failing(5), 5_000);
    expect(step(probing, { type: 'attemptSucceeded', atMs: 5_100, lease: null }).name).toBe('half-open');
    expect(step(probing, failed(5_100)).name).toBe('half-open');
    expect(step(probing, failed(5_100, { lease: 99 })).name).toBe('half-open');
  });

  it('gives less to a replica that it may not eject', () => {
    let state: HealthState = startHealth(0);
    for (let time = 0; time < 9; time++) state = step(state, failed(0, { mayEject: false }));
    expect([state.name, takes(state, 0), healthShare(state, 0, DEFAULT_HEALTH)]).toEqual([
      'serving',
      'freely',
      0.1,
    ]);
    expect(step(state, failed(1)).name).toBe('ejected');
  });

  it('gives less to a replica that says it is busy, for a second, and to one that has just failed', () => {
    const busy = step(startHealth(0), { type: 'engineBusy', atMs: 100, lease: null });
    expect([
      takes(busy, 100),
      healthShare(busy, 1_099, DEFAULT_HEALTH),
      healthShare(busy, 1_100, DEFAULT_HEALTH),
    ]).toEqual(['freely', 0.1, 1]);
    expect(healthShare(failing(1), 0, DEFAULT_HEALTH)).toBe(0.5);
  });

  it('begins anew, in slow start, with a new generation', () => {
    const started = step(failing(5), { type: 'generationStarted', atMs: 1_000 });
    expect(started).toMatchObject({ name: 'serving', ejections: 0 });
    expect(healthShare(started, 1_000, DEFAULT_HEALTH)).toBeCloseTo(0.1);
  });

  const failures: AttemptFailure[] = [
    'connect-refused',
    'connect-timeout',
    'connection-lost',
    'engine-error',
    'empty-response',
    'first-token-timeout',
    'stall-timeout',
    'replica-suspect',
  ];
  const lease = fc.option(fc.nat(3), { nil: null });
  const anyEvent = fc.record({
    afterMs: fc.nat(20_000),
    event: fc.oneof(
      fc.record({ type: fc.constant('attemptSucceeded' as const), lease }),
      fc.record({ type: fc.constant('clientErred' as const), lease }),
      fc.record({ type: fc.constant('engineBusy' as const), lease }),
      fc.record({ type: fc.constant('attemptAbandoned' as const), lease }),
      fc.record({
        type: fc.constant('attemptFailed' as const),
        failure: fc.constantFrom(...failures),
        lease,
        mayEject: fc.boolean(),
        draw: fc.double({ min: 0, max: 0.999, noNaN: true }),
      }),
      fc.record({ type: fc.constant('probeTaken' as const), lease: fc.nat(3) }),
      fc.record({ type: fc.constant('generationStarted' as const) }),
      fc.record({ type: fc.constant('ticked' as const), draw: fc.constant(0.9) }),
    ),
  });
  const history = fc.array(anyEvent, { maxLength: 60 });

  it('never counts a 4xx, a busy engine or a late first token, and never ejects when it may not (property)', () => {
    fc.assert(
      fc.property(history, (events) => {
        let state: HealthState = startHealth(0);
        let atMs = 0;
        for (const { afterMs, event } of events) {
          atMs += afterMs;
          const before = step(state, { type: 'ticked', atMs, draw: 0.5 });
          state = step(before, { ...event, atMs } as HealthEvent);
          const harmless =
            ['clientErred', 'engineBusy', 'attemptAbandoned', 'attemptSucceeded'].includes(event.type) ||
            (event.type === 'attemptFailed' && event.failure === 'first-token-timeout');
          if (harmless) {
            expect(state.failures).toBeLessThanOrEqual(before.failures);
            expect(state.ejections).toBeLessThanOrEqual(before.ejections);
          }
          if ('mayEject' in event && !event.mayEject && before.name === 'serving') {
            expect(state.name).toBe('serving');
          }
        }
      }),
      { numRuns: 10_000 },
    );
  });

  it('is never stuck: whatever happened, it takes a request again within the longest ejection (property)', () => {
    fc.assert(
      fc.property(history, (events) => {
        let state: HealthState = startHealth(0);
        let atMs = 0;
        for (const { afterMs, event } of events) {
          atMs += afterMs;
          state = step(state, { ...event, atMs } as HealthEvent);
        }
        const longestMs = DEFAULT_HEALTH.ejectionMaxMs * 1.2 + DEFAULT_HEALTH.probeLeaseMs;
        expect(takes(state, atMs + longestMs)).not.toBe('nothing');
        const later = step(state, { type: 'ticked', atMs: atMs + longestMs, draw: 0.5 });
        const probing = step(later, { type: 'probeTaken', atMs: atMs + longestMs, lease: 77 });
        if (later.name === 'half-open') {
          expect(step(probing, { type: 'attemptSucceeded', atMs: atMs + longestMs, lease: 77 }).name).toBe(
            'serving',
          );
        } else if (later.name === 'ejected') {
          // The last lost probe ejects once more, and that ejection ends too.
          expect(takes(later, atMs + 2 * longestMs)).toBe('probe');
        }
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('mayEject', () => {
  it('leaves at least half, and the last one always', () => {
    expect([1, 2, 3, 4, 5, 10].map(servingFloor)).toEqual([1, 1, 2, 2, 3, 5]);
    expect([mayEject(1, 1), mayEject(2, 2), mayEject(2, 1), mayEject(4, 3), mayEject(4, 2)]).toEqual([
      false,
      true,
      false,
      true,
      false,
    ]);
  });
});

describe('stragglerShares', () => {
  const shares = (steps: number[], before = steps.map(() => 1)) => {
    const found = Float64Array.from(before);
    stragglerShares(Float64Array.from(steps), steps.length, found);
    return [...found];
  };

  it('gives a slow replica less, in proportion, and never nothing', () => {
    expect(shares([10, 10, 10, 20])).toEqual([1, 1, 1, 0.5]);
    expect(shares([10, 10, 10, 1_000])[3]).toBe(0.2);
  });

  it('asks for more than a tenth and for more than one standard deviation of the peers', () => {
    expect(shares([10, 10, 10, 10.9])[3]).toBe(1);
    expect(shares([10, 10, 10, 11.1])[3]).toBeCloseTo(10 / 11.1);
    expect(shares([5, 10, 15, 13])[3]).toBe(1);
    expect(shares([5, 10, 15, 15])[3]).toBeCloseTo(10 / 15);
  });

  it('lets a straggler go when it is within a twentieth of its peers', () => {
    expect(shares([10, 10, 10, 10.8], [1, 1, 1, 0.5])[3]).toBeCloseTo(10 / 10.8);
    expect(shares([10, 10, 10, 10.4], [1, 1, 1, 0.5])[3]).toBe(1);
  });

  it('compares only where there are peers, and finds no straggler in a slow pool', () => {
    expect(shares([10, 100])).toEqual([1, 1]);
    expect(shares([10, Number.NaN, 100])).toEqual([1, 1, 1]);
    expect(shares([500, 510, 490])).toEqual([1, 1, 1]);
  });

  it('never takes all, and nothing from the fastest (property)', () => {
    const step = fc.oneof(fc.double({ min: 0.01, max: 10_000, noNaN: true }), fc.constant(Number.NaN));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const found = shares(steps);
        const known = steps.filter((own) => own > 0);
        for (const [index, share] of found.entries()) {
          expect(share).toBeGreaterThanOrEqual(0.2);
          expect(share).toBeLessThanOrEqual(1);
          if (steps[index] === Math.min(...known)) expect(share).toBe(1);
        }
      }),
      { numRuns: 10_000 },
    );
  });
});
