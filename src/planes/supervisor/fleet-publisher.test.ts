import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { FleetSnapshot } from '../../contract/fleet.ts';
import { createFleetState, type FleetState } from '../../decide/recovery/fleet-state.ts';
import { DEFAULT_RECOVERY_SETTINGS } from '../../decide/recovery/recovery-settings.ts';
import { createReplica, NO_MEANS, type Phase } from '../../decide/recovery/replica.ts';
import { FleetPublisher, REASON_INTERVAL_MS } from './fleet-publisher.ts';

const spec = {
  id: 'a/0',
  pool: 'a',
  managed: true,
  launchHash: 'x',
  url: null,
  startTimeoutMs: 1,
  standby: false,
  means: NO_MEANS,
};
const stateWith = (reason: string, phase: Phase = { name: 'spawning' }): FleetState => ({
  ...createFleetState(DEFAULT_RECOVERY_SETTINGS, 1, 0),
  replicas: { 'a/0': { ...createReplica(spec, 1, 0), phase, reason } },
});

let state: FleetState;
let published: string[];
let publisher: FleetPublisher;

beforeEach(() => {
  vi.useFakeTimers();
  published = [];
  state = stateWith('first');
  publisher = new FleetPublisher({
    state: () => state,
    view: (): FleetSnapshot => ({ pools: [] }),
    onFleet: () => published.push(state.replicas['a/0']?.reason ?? ''),
  });
});

afterEach(() => vi.useRealTimers());

it('publishes nothing while a former run is being taken up', () => {
  publisher.publish();
  publisher.checkReasons();
  expect(published).toEqual([]);
  publisher.open();
  expect(published).toEqual(['first']);
});

it('gathers changes of reasons, and publishes the last of them', () => {
  publisher.open();
  for (let change = 1; change <= 50; change++) {
    state = stateWith(`change ${change}`);
    publisher.checkReasons();
  }
  vi.advanceTimersByTime(REASON_INTERVAL_MS);
  expect(published).toEqual(['first', 'change 50']);
  publisher.checkReasons();
  vi.advanceTimersByTime(10 * REASON_INTERVAL_MS);
  expect(published).toHaveLength(2);
});

it('does not say twice what a change of state has said already', () => {
  publisher.open();
  state = stateWith('second');
  publisher.checkReasons();
  publisher.publish();
  vi.advanceTimersByTime(REASON_INTERVAL_MS);
  expect(published).toEqual(['first', 'second']);
});

it('leaves the reasons of ready replicas alone', () => {
  const ready: Phase = {
    name: 'serving',
    readySinceMs: 0,
    failedProbes: 0,
    probedAtMs: 0,
    nextProbeAtMs: 1,
  };
  state = stateWith('all probes passed', ready);
  publisher.open();
  state = stateWith('health probe failed, 1 of 3', ready);
  publisher.checkReasons();
  vi.advanceTimersByTime(REASON_INTERVAL_MS);
  expect(published).toHaveLength(1);
});

it('publishes nothing after its end', () => {
  publisher.open();
  state = stateWith('second');
  publisher.checkReasons();
  publisher.close();
  vi.advanceTimersByTime(REASON_INTERVAL_MS);
  expect(published).toEqual(['first']);
});
