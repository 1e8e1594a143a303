import { describe, expect, it } from 'vitest';
import { FULL_CAPABILITIES, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import type { PoolView, ReplicaView } from '../../../contract/fleet.ts';
import { FleetTable, type SlottedSnapshot } from '../fleet-table.ts';
import { createSharedMemory } from '../shared-memory.ts';
import { ReplicaGates } from './replica-gates.ts';
import { StepTimes } from './step-times.ts';
import { StragglerKeeper } from './straggler-keeper.ts';

const replica = (ordinal: number, more: Partial<ReplicaView> = {}): ReplicaView => ({
  id: `m/${ordinal}`,
  generation: 1,
  url: 'http://x',
  engine: 'vllm',
  servedModel: 'm',
  state: 'ready',
  reason: '',
  window: 8,
  capabilities: FULL_CAPABILITIES,
  ...more,
});

function setUp(views: ReplicaView[], stragglerWeights = true) {
  let nowMs = 0;
  const memory = createSharedMemory();
  const gates = new ReplicaGates(memory.gates);
  const worker = new StepTimes(memory.steps);
  const changes: string[] = [];
  const keeper = new StragglerKeeper({
    steps: new StepTimes(memory.steps),
    gates,
    clock: { monotonicMs: () => nowMs },
    onChange: (id, { share }) => changes.push(`${id} ${share.toFixed(1)}`),
  });
  const see = (replicas: ReplicaView[]) => {
    const pools: PoolView[] = [{ model: 'm', aliases: [], replicas }];
    const slotted: SlottedSnapshot = {
      snapshot: {
        version: { epoch: 1, seq: 1 },
        settings: { ...TEST_SETTINGS, stragglerWeights },
        fleet: { pools },
      },
      replicaSlots: Object.fromEntries(replicas.map(({ id }, index) => [id, index])),
      poolSlots: { m: 0 },
      limitSlots: {},
    };
    worker.update(new FleetTable({ pools }, slotted), slotted.snapshot.settings);
    keeper.update(slotted);
  };
  see(views);
  const answer = (slot: number, stepMs: number, times = 5, kind: 'stream' | 'whole' = 'stream') => {
    for (let turn = 0; turn < times; turn++) worker.add(slot, kind, { ms: stepMs * 100, tokens: 100 });
  };
  const tick = (ms = 1_000) => {
    nowMs += ms;
    keeper.tick();
  };
  const shares = () => views.map((_, slot) => gates.speedShare(slot));
  return { see, answer, tick, shares, changes, keeper, worker };
}

const FOUR = [0, 1, 2, 3].map((ordinal) => replica(ordinal));

describe('StragglerKeeper', () => {
  it('gives a replica that needs twice as long half of its weight, and all when it keeps up again', () => {
    const { answer, tick, shares, changes, keeper } = setUp(FOUR);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    answer(3, 20);
    tick();
    expect(shares()).toEqual([1, 1, 1, 0.5]);
    expect(keeper.speeds()['m/3']).toEqual({ share: 0.5, stepMs: 20 });
    expect(keeper.speeds()['m/0']).toEqual({ share: 1, stepMs: 10 });
    answer(3, 10, 15);
    tick();
    expect(shares()).toEqual([1, 1, 1, 1]);
    expect(changes).toEqual(['m/3 0.5', 'm/3 1.0']);
  });

  it('says nothing by few answers, short ones, or one that took long by chance', () => {
    const { answer, tick, shares, worker } = setUp(FOUR);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    answer(3, 90, 4);
    for (let turn = 0; turn < 20; turn++) worker.add(3, 'stream', { ms: 500, tokens: 7 });
    tick();
    expect(shares()).toEqual([1, 1, 1, 1]);
    answer(3, 10, 8);
    tick();
    expect(shares()).toEqual([1, 1, 1, 1]);
  });

  it('lets a straggler of which nothing was heard for 30 seconds show itself again', () => {
    const { answer, tick, shares } = setUp(FOUR);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    answer(3, 40);
    tick();
    expect(shares()[3]).toBe(0.25);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    tick(29_000);
    expect(shares()[3]).toBe(0.25);
    tick(2_000);
    expect(shares()[3]).toBe(1);
  });

  it('compares streams with streams and whole answers with whole answers', () => {
    const { answer, tick, shares } = setUp(FOUR);
    for (const slot of [0, 1, 2]) answer(slot, 10, 5, 'stream');
    answer(3, 50, 5, 'whole');
    tick();
    expect(shares()).toEqual([1, 1, 1, 1]);
    for (const slot of [0, 1, 2]) answer(slot, 25, 5, 'whole');
    tick();
    expect(shares()[3]).toBe(0.5);
  });

  it('does not blame a replica for being as small as the configuration says', () => {
    const views = FOUR.map((view, index) => (index === 3 ? { ...view, weight: 0.5 } : view));
    const { answer, tick, shares } = setUp(views);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    answer(3, 20);
    tick();
    expect(shares()).toEqual([1, 1, 1, 1]);
  });

  it('forgets what another process needed, and who is gone', () => {
    const { answer, tick, shares, see } = setUp(FOUR);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    answer(3, 20);
    tick();
    see(FOUR.map((view, index) => (index === 3 ? { ...view, generation: 2 } : view)));
    expect(shares()[3]).toBe(1);
    tick();
    expect(shares()[3]).toBe(1);
    answer(3, 20);
    tick();
    expect(shares()[3]).toBe(0.5);
    see(FOUR.slice(0, 3));
    expect(shares()[3]).toBe(1);
  });

  it('leaves weights alone where it is turned off, and workers measure nothing then', () => {
    const { answer, tick, shares, worker } = setUp(FOUR, false);
    expect(worker.watches(0)).toBe(false);
    for (const slot of [0, 1, 2]) answer(slot, 10);
    answer(3, 20);
    tick();
    expect(shares()).toEqual([1, 1, 1, 1]);
  });

  it('measures only where there are peers', () => {
    expect(setUp(FOUR.slice(0, 2)).worker.watches(0)).toBe(false);
    expect(setUp(FOUR.slice(0, 3)).worker.watches(0)).toBe(true);
  });
});
