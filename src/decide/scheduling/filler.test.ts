import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../base/random.ts';
import { type CeilingState, newCeiling, observePace, SLOWDOWN_MAX } from './filler-ceiling.ts';
import { type FillerCandidate, fillerPlaces, pickFiller } from './pick-filler.ts';

const candidate = (change: Partial<FillerCandidate> = {}): FillerCandidate => ({
  id: 'a',
  ready: true,
  ejected: false,
  inFlight: 0,
  window: 16,
  filler: 0,
  ceiling: 16,
  ...change,
});
const options = { avoid: [], rotation: 0, share: 0.5 };

describe('pickFiller', () => {
  it('fills a share of what clients leave free, and all that is free stays free for clients (property)', () => {
    const any = fc.record({
      id: fc.uuid(),
      ready: fc.boolean(),
      ejected: fc.boolean(),
      clients: fc.nat(8),
      filler: fc.nat(8),
      window: fc.integer({ min: 1, max: 16 }),
      ceiling: fc.integer({ min: 1, max: 16 }),
    });
    fc.assert(
      fc.property(
        fc.array(any, { maxLength: 6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (list, share) => {
          const candidates = list.map(({ clients, ...one }) => ({ ...one, inFlight: clients + one.filler }));
          const pick = pickFiller(candidates, { avoid: [], rotation: 1, share });
          if (pick.kind !== 'picked') return;
          const { window, inFlight, filler, ready, ejected, ceiling } = candidates[pick.index]!;
          const clients = inFlight - filler;
          expect(ready && !ejected && inFlight < window).toBe(true);
          expect(filler + 1).toBeLessThanOrEqual(Math.max(clients === 0 ? 1 : 0, share * (window - clients)));
          if (clients > 0) expect(filler + 1).toBeLessThanOrEqual(ceiling);
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('goes where most room is left, turns ties over, and avoids what failed this request', () => {
    const busy = candidate({ id: 'busy', inFlight: 10 });
    const idle = candidate({ id: 'idle' });
    expect(pickFiller([busy, idle], options)).toMatchObject({ index: 1 });
    expect(pickFiller([busy, idle], { ...options, avoid: ['idle'] })).toMatchObject({ index: 0 });
    expect([0, 1].map((rotation) => pickFiller([idle, idle], { ...options, rotation }))).toMatchObject([
      { index: 0 },
      { index: 1 },
    ]);
  });

  it('uses a replica with one place only while no client does', () => {
    expect(fillerPlaces(candidate({ window: 1 }), 0.5)).toBe(1);
    expect(fillerPlaces(candidate({ window: 1, inFlight: 1 }), 0.5)).toBe(0);
    expect(fillerPlaces(candidate({ window: 1 }), 0)).toBe(1);
  });

  it('heeds the ceiling only where there are clients to be slowed down', () => {
    expect(fillerPlaces(candidate({ ceiling: 2 }), 0.5)).toBe(8);
    expect(fillerPlaces(candidate({ ceiling: 2, inFlight: 1 }), 0.5)).toBe(2);
  });
});

describe('the ceiling', () => {
  /** A replica on which each request beside another costs `slope` more, with noise; filler takes what it may. */
  function live(slope: number, { seconds = 120, noise = 0.05, seed = 1 } = {}) {
    const random = createRandom(seed);
    let state: CeilingState = newCeiling();
    let filler = 0;
    const slowdowns: number[] = [];
    const counts: number[] = [];
    for (let nowMs = 0; nowMs < seconds * 1000; nowMs += 50) {
      // Filler that runs ends within a second.
      const target = nowMs < 5_000 || nowMs < state.listenUntilMs ? 0 : state.ceiling;
      filler = target < filler ? Math.max(target, Math.floor(filler * 0.9)) : target;
      const units = 5 + random.int(50);
      const serviceMs = units * 10 * (1 + slope * filler) * (1 + noise * (random.next() * 2 - 1));
      state = observePace(state, { nowMs, serviceMs, units, filler }, 256);
      if (nowMs > (seconds * 1000) / 2) {
        slowdowns.push(slope * filler);
        counts.push(filler);
      }
    }
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    return { slowdown: mean(slowdowns), filler: mean(counts) };
  }

  it.each([
    ['costly', 0.02],
    ['usual', 0.005],
    ['cheap', 0.001],
  ])('finds as much filler as slows clients down by about what they may be, where it is %s', (_name, slope) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const { slowdown, filler } = live(slope, { seed });
      expect(slowdown).toBeLessThan(SLOWDOWN_MAX * 1.4);
      expect(filler).toBeGreaterThan((SLOWDOWN_MAX / slope) * 0.3);
    }
  });

  it('never goes below one, also where one is too many', () => {
    const { filler } = live(0.5);
    expect(filler).toBeLessThanOrEqual(1.5);
    expect(filler).toBeGreaterThan(0.5);
  });

  it('rises as far as the replica goes where filler costs clients nothing', () => {
    expect(live(0, { seconds: 300 }).filler).toBeGreaterThan(150);
  });

  it('listens again when clients themselves became more, instead of blaming the filler', () => {
    let state = newCeiling();
    let nowMs = 0;
    const answer = (pace: number, filler: number) => {
      nowMs += 50;
      state = observePace(state, { nowMs, serviceMs: 10 * pace, units: 10, filler }, 256);
    };
    for (let n = 0; n < 50; n++) answer(1, 0);
    for (let n = 0; n < 50; n++) answer(1.01, 8);
    const before = state.ceiling;
    expect(before).toBeGreaterThan(8);
    // Twice as many clients: everything is slower, with filler and without.
    for (let turn = 0; turn < 3_000; turn++)
      answer(nowMs < state.listenUntilMs ? 2 : 2.02, nowMs < state.listenUntilMs ? 0 : 4);
    expect(state.ceiling).toBeGreaterThanOrEqual(before);
  });
});
