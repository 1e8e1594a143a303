import { describe, expect, it } from 'vitest';
import { FULL_CAPABILITIES, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import { createRandom } from '../../../base/random.ts';
import type { ReplicaView } from '../../../contract/fleet.ts';
import { createSharedMemory } from '../shared-memory.ts';
import type { HealthReport } from './attempt-health.ts';
import { HealthKeeper } from './health-keeper.ts';
import { ReplicaGates } from './replica-gates.ts';

const replica = (ordinal: number, generation = 1, state: ReplicaView['state'] = 'ready'): ReplicaView => ({
  id: `m/${ordinal}`,
  generation,
  url: 'http://x',
  engine: 'vllm',
  servedModel: 'm',
  state,
  reason: '',
  window: 8,
  capabilities: FULL_CAPABILITIES,
});

function setUp(replicas: number) {
  let nowMs = 0;
  let sinceProgressMs = Number.POSITIVE_INFINITY;
  const gates = new ReplicaGates(createSharedMemory().gates);
  const changes: string[] = [];
  const keeper = new HealthKeeper({
    gates,
    sinceProgressMs: () => sinceProgressMs,
    clock: {
      wallMs: () => nowMs,
      monotonicMs: () => nowMs,
      machineMs: () => nowMs,
      sleep: async () => {},
    },
    chance: createRandom(1),
    onChange: (id, name) => changes.push(`${id} ${name}`),
  });
  const see = (generations: number[], states: ReplicaView['state'][] = []) =>
    keeper.update({
      snapshot: {
        version: { epoch: 1, seq: 1 },
        settings: { ...TEST_SETTINGS, breakerFailures: 5, slowStartMs: 10_000 },
        fleet: {
          pools: [
            {
              model: 'm',
              aliases: [],
              replicas: generations.map((one, index) => replica(index, one, states[index])),
            },
          ],
        },
      },
      replicaSlots: Object.fromEntries(generations.map((_, index) => [`m/${index}`, index])),
      poolSlots: { m: 0 },
      limitSlots: {},
    });
  see(Array.from({ length: replicas }, () => 1));
  const fail = (slot: number, more: Partial<HealthReport> = {}) =>
    keeper.report({
      slot,
      generation: 1,
      probe: null,
      type: 'attemptFailed',
      failure: 'engine-error',
      ...more,
    } as HealthReport);
  return {
    gates,
    keeper,
    changes,
    see,
    fail,
    progressed: (ms: number) => {
      sinceProgressMs = ms;
    },
    pass: (ms: number) => {
      nowMs += ms;
      keeper.tick();
    },
  };
}

describe('HealthKeeper', () => {
  it('closes the gate of a replica that fails five times in a row, and opens it after one probe that went well', () => {
    const { gates, fail, pass, keeper, changes } = setUp(2);
    for (let turn = 0; turn < 4; turn++) fail(0);
    expect(gates.isClosed(0)).toBe(false);
    expect(gates.reportsSuccess(0)).toBe(true);
    fail(0);
    expect([gates.isClosed(0), gates.isClosed(1)]).toEqual([true, false]);
    pass(7_000);
    expect(gates.wantsProbe(0)).toBe(true);
    expect([gates.tryTakeProbe(0), gates.tryTakeProbe(0)]).toEqual([true, false]);
    keeper.report({ slot: 0, generation: 1, probe: 1, type: 'probeTaken' });
    pass(1);
    expect(gates.isClosed(0)).toBe(true);
    keeper.report({ slot: 0, generation: 1, probe: 1, type: 'attemptSucceeded' });
    expect(gates.isClosed(0)).toBe(false);
    expect(gates.share(0)).toBeCloseTo(0.1);
    pass(10_000);
    expect(gates.share(0)).toBe(1);
    expect(changes).toEqual(['m/0 ejected', 'm/0 half-open', 'm/0 serving']);
  });

  it('never closes more than half of the gates of a pool', () => {
    const { gates, fail } = setUp(3);
    for (const slot of [0, 1, 2]) for (let turn = 0; turn < 9; turn++) fail(slot);
    expect([0, 1, 2].filter((slot) => gates.isClosed(slot))).toHaveLength(1);
  });

  it('forgets what an earlier life did, and spares the new one while its peers serve', () => {
    const { gates, fail, see, pass } = setUp(2);
    for (let turn = 0; turn < 5; turn++) fail(0);
    see([2, 1]);
    expect(gates.isClosed(0)).toBe(false);
    expect(gates.share(0)).toBeCloseTo(0.1);
    fail(0);
    expect(gates.share(0)).toBeCloseTo(0.1);
    pass(5_000);
    expect(gates.share(0)).toBeCloseTo(0.55);
  });

  it('begins slow start when a replica is ready again, and not when its process is started', () => {
    const { gates, see, pass } = setUp(2);
    see([2, 1], ['starting']);
    pass(60_000);
    see([2, 1]);
    expect(gates.share(0)).toBeCloseTo(0.1);
    pass(10_000);
    expect(gates.share(0)).toBe(1);
    see([2, 1], ['unready']);
    see([2, 1]);
    expect(gates.share(0)).toBeCloseTo(0.1);
  });

  it('spares no replica that is ready for the first time', () => {
    const { gates, see } = setUp(2);
    see([1, 1, 1], ['ready', 'ready', 'starting']);
    see([1, 1, 1]);
    expect(gates.share(2)).toBe(1);
  });

  it('takes a replica that accepts no connection for busy while its answers go on', () => {
    const { gates, fail, progressed, pass } = setUp(2);
    progressed(500);
    for (let turn = 0; turn < 9; turn++) fail(0, { failure: 'connect-timeout' });
    expect(gates.isClosed(0)).toBe(false);
    expect(gates.share(0)).toBeCloseTo(0.1);
    pass(1_001);
    expect(gates.share(0)).toBe(1);
    progressed(2_500);
    for (let turn = 0; turn < 5; turn++) fail(0, { failure: 'connect-timeout' });
    expect(gates.isClosed(0)).toBe(true);
  });

  it('gives a replica all of its share at once where nobody else serves', () => {
    const { gates, see } = setUp(1);
    see([2]);
    expect(gates.share(0)).toBe(1);
  });

  it('believes a busy engine for a second', () => {
    const { gates, keeper, pass } = setUp(2);
    keeper.report({ slot: 0, generation: 1, probe: null, type: 'engineBusy' });
    expect(gates.share(0)).toBeCloseTo(0.1);
    pass(1_001);
    expect(gates.share(0)).toBe(1);
  });

  it('opens the gate of a slot whose replica is gone', () => {
    const { gates, fail, see } = setUp(2);
    for (let turn = 0; turn < 5; turn++) fail(1);
    see([1]);
    expect(gates.isClosed(1)).toBe(false);
  });
});
