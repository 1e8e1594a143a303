/** Properties that hold for any sequence of events, sensible or not. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FAULT_CLASSES } from '../../contract/faults.ts';
import { dueAtMs, nextDeadlineMs } from './deadlines.ts';
import { createFleetState, type FleetState } from './fleet-state.ts';
import type { RecoveryEvent } from './recovery-event.ts';
import { DEFAULT_RECOVERY_SETTINGS } from './recovery-settings.ts';
import type { ReplicaSpec } from './replica.ts';
import { step } from './step.ts';
import type { Verdict } from './verdict.ts';

const specOf = (id: string, managed = true): ReplicaSpec => ({
  id,
  pool: 'demo',
  managed,
  launchHash: 'a',
  url: managed ? null : 'http://elsewhere',
  startTimeoutMs: 5_000,
  standby: id === 'demo/1',
  means: { abort: true, clearCaches: true, saferSteps: 1, spareDevices: 1, window: 4 },
});
const specs = [specOf('demo/0'), specOf('demo/1'), specOf('demo/2', false)];

const replica = fc.constantFrom('demo/0', 'demo/1', 'demo/2', 'unknown/0');
const effect = fc.integer({ min: 1, max: 60 });
const process = fc.record({ pid: fc.integer({ min: 100, max: 105 }), startTicks: fc.nat(3) });
const generation = fc.nat(5);
const lastWords = fc.constantFrom(null, 'error: out of luck');
const exit = fc.constantFrom({ kind: 'exited', code: 0 } as const, { kind: 'unknown' } as const);

const verdict: fc.Arbitrary<Verdict> = fc
  .record({
    class: fc.constantFrom(...FAULT_CLASSES, 'unknown', 'none'),
    confidence: fc.double({ min: 0, max: 1 }),
  })
  .map((found) => ({
    ...found,
    summary: 'so it seems',
    diagnosis: { ...found, evidence: [], ruledOut: [] },
  }));

const event: fc.Arbitrary<RecoveryEvent> = fc.oneof(
  fc.nat(30_000).map((nowMs) => ({ type: 'ticked', nowMs }) as const),
  fc.record({ type: fc.constant('spawned' as const), effect, replica, process, url: fc.constant(null) }),
  fc.record({
    type: fc.constant('spawnFailed' as const),
    effect,
    replica,
    permanent: fc.boolean(),
    reason: fc.string(),
  }),
  fc.record({
    type: fc.constant('found' as const),
    effect,
    replica,
    process: fc.option(process),
    url: fc.constant(null),
  }),
  fc.record({ type: fc.constant('signalled' as const), effect, replica, gone: fc.boolean() }),
  fc.record({ type: fc.constant('probed' as const), effect, replica, ok: fc.boolean(), detail: fc.string() }),
  fc.record({ type: fc.constant('persisted' as const), effect, replica, ok: fc.boolean() }),
  fc.record({
    type: fc.constant('exited' as const),
    replica,
    generation,
    exit,
    lastWords,
    verdict: fc.option(verdict),
  }),
  fc.record({ type: fc.constant('diagnosed' as const), replica, generation, verdict }),
  fc.record({ type: fc.constant('captured' as const), effect, replica, folder: fc.constant(null) }),
  fc.record({ type: fc.constant('mended' as const), effect, replica, ok: fc.boolean(), detail: fc.string() }),
  fc.record({ type: fc.constant('attemptFailed' as const), replica, generation }),
  fc.record({ type: fc.constant('inFlightReported' as const), replica, count: fc.nat(3) }),
  fc.record({ type: fc.constant('drainRequested' as const), replica }),
  fc.record({ type: fc.constant('restartRequested' as const), replica }),
  fc.constant({ type: 'rollingRestartRequested', pool: 'demo', because: 'on request' } as const),
  fc.subarray(specs).map((replicas) => ({ type: 'configured', replicas }) as const),
  fc.constantFrom('drain', 'kill').map((how) => ({ type: 'endRequested', how }) as const),
);

const initial = () => createFleetState(DEFAULT_RECOVERY_SETTINGS, 1, 0);
const configured = { type: 'configured', replicas: specs } as const;

it('changes nothing of the state that it was given', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let state = deepFreeze(initial());
      for (const next of [configured, ...events]) state = deepFreeze(step(state, next).state);
    }),
  );
});

it('gives the same state and effects for the same state and event', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let state: FleetState = initial();
      for (const next of [configured, ...events]) {
        const first = step(state, next);
        expect(step(structuredClone(state), next)).toEqual(first);
        state = first.state;
      }
    }),
    { numRuns: 50 },
  );
});

it('gives every effect a number of its own, and time never goes back', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let state: FleetState = initial();
      const ids = new Set<number>();
      for (const next of [configured, ...events]) {
        const { state: after, effects } = step(state, next);
        for (const { id } of effects) {
          expect(ids.has(id)).toBe(false);
          ids.add(id);
        }
        expect(after.nowMs).toBeGreaterThanOrEqual(state.nowMs);
        state = after;
      }
    }),
  );
});

it('waits for nothing that is overdue once it knows the time', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      let state: FleetState = initial();
      for (const next of [configured, ...events]) {
        state = step(state, next).state;
        for (let turns = 0; nextDeadlineMs(state) <= state.nowMs; turns++) {
          expect(turns, 'the machine comes to rest').toBeLessThan(20);
          state = step(state, { type: 'ticked', nowMs: state.nowMs }).state;
        }
        for (const known of Object.values(state.replicas))
          expect(dueAtMs(known, state.settings)).toBeGreaterThan(state.nowMs);
      }
    }),
  );
});

it('ends everything on request, starts nothing any more, and needs no answers for it but the exits', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), fc.constantFrom('drain', 'kill'), (events, how) => {
      let state: FleetState = initial();
      for (const next of [configured, ...events, { type: 'endRequested', how } as const])
        state = step(state, next).state;
      for (let turns = 0; Object.keys(state.replicas).length > 0; turns++) {
        expect(turns, 'everything ends').toBeLessThan(100);
        for (const [id, { generation: present }] of Object.entries(state.replicas))
          state = step(state, {
            type: 'exited',
            replica: id,
            generation: present,
            exit: { kind: 'unknown' },
            lastWords: null,
            verdict: null,
          }).state;
        const dueMs = nextDeadlineMs(state);
        if (dueMs !== Number.POSITIVE_INFINITY) state = step(state, { type: 'ticked', nowMs: dueMs }).state;
        for (const known of Object.values(state.replicas))
          if (known.acting?.kind === 'find')
            state = step(state, {
              type: 'found',
              effect: known.acting.id,
              replica: known.spec.id,
              process: null,
              url: null,
            }).state;
      }
    }),
  );
});

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
