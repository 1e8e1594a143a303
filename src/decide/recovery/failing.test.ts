import fc from 'fast-check';
import { expect, it } from 'vitest';
import { planRestart, spanText } from './failing.ts';
import { DEFAULT_RECOVERY_SETTINGS } from './recovery-settings.ts';
import type { Failure } from './replica.ts';

const settings = DEFAULT_RECOVERY_SETTINGS;
const summary = 'exit code 1 while starting';

it('never lets a window hold more restarts than allowed, whenever failures happen', () => {
  const failures = fc.array(
    fc.record({
      lifeMs: fc.integer({ min: 0, max: 40_000 }),
      draw: fc.double({ min: 0, max: 0.999, noNaN: true }),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(failures, fc.integer({ min: 1, max: 6 }), (lives, restartsMax) => {
      const restarts: number[] = [];
      let nowMs = 0;
      let history: readonly Failure[] = [];
      for (const [attempt, { lifeMs, draw }] of lives.entries()) {
        nowMs += lifeMs;
        const situation = { kind: 'exited', summary, attempt, failures: history } as const;
        const remedy = planRestart({ ...settings, restartsMax }, nowMs, situation, draw);
        if (remedy.kind === 'quarantine') return true;
        nowMs = remedy.atMs;
        restarts.push(nowMs);
        history = remedy.failures;
        const earlier = restarts.at(-1 - restartsMax);
        expect(earlier === undefined || nowMs - earlier >= settings.restartWindowMs).toBe(true);
      }
      return true;
    }),
  );
});

it('waits longer each time, within the jitter, and never longer than the most', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, draw) => {
      const remedy = planRestart(settings, 0, { kind: 'exited', summary, attempt, failures: [] }, draw);
      const plain = Math.min(30_000, 500 * 2 ** Math.min(attempt, 30));
      if (remedy.kind === 'restart') {
        expect(remedy.atMs).toBeGreaterThanOrEqual(Math.round(plain * 0.8));
        expect(remedy.atMs).toBeLessThanOrEqual(Math.round(plain * 1.2));
      }
      return remedy.kind === 'restart';
    }),
  );
});

it('says what kind of failures they were', () => {
  const reasonAfter = (kinds: Failure['kind'][]) => {
    const failures = kinds
      .slice(0, -1)
      .map((kind, index) => ({ atMs: index * 10, kind, restartAtMs: index * 10 + 5 }));
    const situation = { kind: kinds.at(-1)!, summary, attempt: 0, failures };
    const remedy = planRestart({ ...settings, restartsMax: kinds.length - 1 }, 2_500, situation, 0.5);
    return remedy.kind === 'quarantine' ? remedy.reason : 'restart';
  };
  expect(reasonAfter(['exited', 'exited', 'exited'])).toBe(`exited 3 times within 2.5 s; last: ${summary}`);
  expect(reasonAfter(['not-ready', 'not-started'])).toBe(
    `failed to start 2 times within 2.5 s; last: ${summary}`,
  );
  expect(reasonAfter(['not-ready', 'exited'])).toBe(`failed 2 times within 2.5 s; last: ${summary}`);
});

it('writes spans as people do', () => {
  expect([0, 999, 1_000, 9_949, 59_500].map(spanText)).toEqual(['0 ms', '999 ms', '1.0 s', '9.9 s', '60 s']);
});
