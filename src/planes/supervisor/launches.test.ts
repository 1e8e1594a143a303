import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { fakeModel } from '../../../tests/support/supervised.ts';
import type { LaunchPlan } from '../../contract/ports/engine-driver.ts';
import type { SpawnSpec } from '../../contract/ports/process-host.ts';
import { DEFAULT_RECOVERY_POLICY } from '../../contract/recovery-defaults.ts';
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import { createFleetState, type FleetState } from '../../decide/recovery/fleet-state.ts';
import { DEFAULT_RECOVERY_SETTINGS } from '../../decide/recovery/recovery-settings.ts';
import { createReplica } from '../../decide/recovery/replica.ts';
import { type LaunchParts, launchReplica } from './launch-replica.ts';
import { Launches, type SpawnOrder } from './launches.ts';
import { supervisedReplicas } from './supervised-replica.ts';

const clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => Date.now(),
  machineMs: () => Date.now(),
  sleep: () => Promise.reject(new Error('nobody sleeps here')),
};
const PLAN: LaunchPlan = { command: 'engine', args: [], env: {}, portFrom: 'assigned' };
const [supervised] = supervisedReplicas([fakeModel()], new Map());
const stateWith = (change: object): FleetState => ({
  ...createFleetState(DEFAULT_RECOVERY_SETTINGS, 1, 0),
  replicas: { 'demo/0': { ...createReplica(supervised!.spec, 1, 0), ...change } },
});

let spawned: SpawnSpec[];
/** Lets the driver answer. */
let answer: (plan: LaunchPlan) => void;
let launches: Launches;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000 });
  spawned = [];
  launches = new Launches(clock);
});

afterEach(() => vi.useRealTimers());

function begin() {
  const { promise, resolve } = Promise.withResolvers<LaunchPlan>();
  answer = resolve;
  const order: SpawnOrder = { type: 'spawn', id: 1, replica: 'demo/0', generation: 1, notAfterMs: 31_000 };
  const parts = {
    drivers: new Map([['vllm', { launch: () => promise }]]),
    inherited: {},
    paths: { instance: 'i', logDir: '/log', workDir: '/work' },
    policy: DEFAULT_RECOVERY_POLICY,
    ports: { prepare: async () => 'port', free: async () => 4000 },
    processHost: {
      spawn: async (spec: SpawnSpec) => {
        spawned.push(spec);
        return { pid: 7, startTicks: 1 };
      },
    },
  } as unknown as LaunchParts;
  const launched = launches.run(order, (signal) =>
    launchReplica(parts, supervised!, { generation: 1, adjustment: NO_ADJUSTMENT }, signal),
  );
  return launched.then(
    ({ url }) => url,
    (error: Error) => error.message,
  );
}

it('starts what the driver has prepared', async () => {
  const result = begin();
  answer(PLAN);
  expect(await result).toBe('http://127.0.0.1:4000');
  expect(spawned).toHaveLength(1);
});

it('ends a preparation that hangs, and starts nothing when its answer comes late', async () => {
  const result = begin();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await result).toBe('the start of demo/0 was not prepared within 30000 ms');
  answer(PLAN);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(spawned).toEqual([]);
});

it.each([
  ['a replica that shall stop', stateWith({ goal: { kind: 'stop' } })],
  ['a replica that leaves', stateWith({ goal: { kind: 'remove' } })],
  ['a former generation', stateWith({ generation: 2 })],
  ['a replica that is no more', { ...stateWith({}), replicas: {} }],
])('calls off the start of %s', async (_what, state) => {
  const result = begin();
  launches.review(stateWith({}));
  launches.review(state);
  expect(await result).toBe('the start of demo/0 was called off');
  answer(PLAN);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(spawned).toEqual([]);
});

it('starts nothing for a supervisor that has ended', async () => {
  const result = begin();
  launches.close();
  expect(await result).toBe('the supervisor ends');
  answer(PLAN);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(spawned).toEqual([]);
});
