import { describe, expect, it } from 'vitest';
import { FULL_CAPABILITIES, TEST_SETTINGS } from '../../../tests/support/gateway-under-test.ts';
import { systemClock } from '../../base/clock.ts';
import type { AdapterView, PoolView, ReplicaView } from '../../contract/fleet.ts';
import { parseEnvelope } from '../../wire/openai/envelope.ts';
import { Admission, type Lease } from './admission.ts';
import { ANYBODY, type Caller } from './caller.ts';
import { FleetTable } from './fleet-table.ts';
import { ReplicaGates } from './health/replica-gates.ts';
import { Demand } from './places/demand.ts';
import { GaugeCells } from './places/gauge-cells.ts';
import { LoadCells } from './places/load-cells.ts';
import { createSharedMemory } from './shared-memory.ts';
import { SharedState } from './shared-state.ts';
import type { OnlyOn } from './suspects/suspicion.ts';

const BODY = Buffer.from('{"model":"m","messages":[]}');
const adapter = (name: string): AdapterView => ({ name, servedModel: `m:${name}`, fields: { lora: name } });

function replica(id: string, adapters: AdapterView[] = [], more: Partial<ReplicaView> = {}): ReplicaView {
  return {
    id,
    generation: 1,
    url: 'http://x',
    engine: 'sglang',
    servedModel: 'm',
    state: 'ready',
    reason: '',
    window: 1,
    capabilities: FULL_CAPABILITIES,
    adapters,
    ...more,
  };
}

function tableOf(...pools: PoolView[]): FleetTable {
  const ids = pools.flatMap(({ replicas }) => replicas.map(({ id }) => id));
  const slots = (names: string[]) => Object.fromEntries(names.map((name, index) => [name, index]));
  return new FleetTable(
    { pools },
    { replicaSlots: slots(ids), poolSlots: slots(pools.map(({ model }) => model)) },
  );
}

const pool = (model: string, replicas: ReplicaView[], more: Partial<PoolView> = {}): PoolView => ({
  model,
  aliases: [],
  replicas,
  ...more,
});

/** `leaveMs`: Infinity would be 1 ms for a timer. */
const FOR_GOOD_MS = 1_000_000;

function setUp(table: FleetTable, memory = createSharedMemory(), worker = 0, leaveMs?: number) {
  const admission = new Admission({
    shared: new SharedState(memory, worker),
    clock: systemClock,
    table,
    settings: TEST_SETTINGS,
    prefixes: memory.prefixes,
    gates: new ReplicaGates(memory.gates),
    gauges: new GaugeCells(memory.gauges),
    load: new LoadCells(memory.load),
    onProbe: () => {},
    ...(leaveMs !== undefined && { leaveMs }),
  });
  const order: string[] = [];
  const ask = (model: string, caller: Partial<Caller> = {}, only?: OnlyOn) => {
    const deadlineMs = systemClock.monotonicMs() + 60_000;
    const demand = new Demand(parseEnvelope('chat', BODY), { ...ANYBODY, ...caller });
    const asked = admission.acquire({ model, demand, avoid: [], urgent: false, deadlineMs, only }, () => {});
    asked.then(
      () => order.push(model),
      () => order.push(`no ${model}`),
    );
    return asked;
  };
  return { admission, ask, order };
}

const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('a pool with adapters', () => {
  it('gives a request for one only to a replica that has it, under the name that its engine knows', async () => {
    const { ask } = setUp(
      tableOf(pool('m', [replica('m/0'), replica('m/1', [adapter('sql')])], { adapters: ['sql'] })),
    );
    const { replica: taken } = await ask('sql');
    expect(taken.view).toMatchObject({ id: 'm/1', servedModel: 'm:sql', fields: { lora: 'sql' } });
    expect((await ask('m')).replica.view).toMatchObject({ id: 'm/0', servedModel: 'm' });
  });

  it('lets all its names wait in one queue, in order, without one holding up what others could have', async () => {
    const { admission, ask, order } = setUp(
      tableOf(pool('m', [replica('m/0'), replica('m/1', [adapter('sql')])], { adapters: ['sql'] })),
    );
    const first: Lease[] = [await ask('m'), await ask('m')];
    order.length = 0;
    void ask('sql');
    void ask('m');
    void ask('sql');
    await settled();
    expect(order).toEqual([]);
    // The replica without the adapter comes free: the first in the queue can not use it, the second can.
    first.find(({ replica: { view } }) => view.id === 'm/0')?.release();
    await settled();
    expect(order).toEqual(['m']);
    first.find(({ replica: { view } }) => view.id === 'm/1')?.release();
    await settled();
    expect(order).toEqual(['m', 'sql']);
    admission.close();
  });

  it('has requests for an adapter wait while a replica loads it, and refuses them when it is taken away', async () => {
    const bare = pool('m', [replica('m/0')], { adapters: ['sql'] });
    const { admission, ask, order } = setUp(tableOf(bare));
    const waits = ask('sql');
    await settled();
    expect(order).toEqual([]);
    admission.update(
      tableOf(pool('m', [replica('m/0', [adapter('sql')])], { adapters: ['sql'] })),
      TEST_SETTINGS,
    );
    (await waits).release();
    admission.update(tableOf(bare), TEST_SETTINGS);
    const late = ask('sql');
    admission.update(tableOf(pool('m', [replica('m/0')])), TEST_SETTINGS);
    await expect(late).rejects.toMatchObject({ code: 'model_not_found' });
    admission.close();
  });
});

describe('an adapter that could not be loaded', () => {
  const failing = replica('m/0', [], { adapterProblems: { sql: 'no such file' } });
  const refusal = {
    code: 'no_replica',
    message:
      'no replica of model "m" can serve adapter "sql": m/0 could not load it (adapter "sql" could not be loaded: no such file)',
  };

  it('is refused at once with the reason, and the model itself is served', async () => {
    const { ask } = setUp(tableOf(pool('m', [failing], { adapters: ['sql'] })));
    await expect(ask('sql')).rejects.toMatchObject(refusal);
    expect((await ask('m')).replica.view.id).toBe('m/0');
  });

  it('refuses what waited for it when the failure becomes known', async () => {
    const { admission, ask } = setUp(tableOf(pool('m', [replica('m/0')], { adapters: ['sql'] })));
    const waits = ask('sql');
    await settled();
    admission.update(tableOf(pool('m', [failing], { adapters: ['sql'] })), TEST_SETTINGS);
    await expect(waits).rejects.toMatchObject(refusal);
  });

  it('is waited for as long as another replica may still load it', async () => {
    const { admission, ask } = setUp(tableOf(pool('m', [failing, replica('m/1')], { adapters: ['sql'] })));
    const waits = ask('sql');
    admission.update(
      tableOf(pool('m', [failing, replica('m/1', [adapter('sql')])], { adapters: ['sql'] })),
      TEST_SETTINGS,
    );
    expect((await waits).replica.view.id).toBe('m/1');
  });
});

describe('a suspect that may go to one replica only', () => {
  it('waits for it although others are free, and stays away from it when it is sent on', async () => {
    const { admission, ask, order } = setUp(
      tableOf(pool('m', [replica('m/0', [], { window: 2 }), replica('m/1', [], { window: 9 })])),
    );
    const only: OnlyOn = { run: 'm/0@1', alone: true, avoid: [] };
    const busy = await ask('m', {}, { ...only, alone: false });
    order.length = 0;
    const suspect = ask('m', {}, only);
    await settled();
    expect(order).toEqual([]);
    Object.assign(only, { run: null, alone: false, avoid: ['m/0@1'] });
    busy.release();
    expect((await suspect).replica.view.id).toBe('m/1');
    admission.close();
  });
});

describe('when everything stops', () => {
  it('nobody waits for a replica that will not become ready, and who waits for a busy one still gets its turn', async () => {
    const { admission, ask } = setUp(
      tableOf(pool('m', [replica('m/0')]), pool('cold', [replica('cold/0', [], { state: 'starting' })])),
    );
    const busy = await ask('m');
    const turn = ask('m');
    const cold = ask('cold');
    admission.stopWaiting();
    await expect(cold).rejects.toMatchObject({ code: 'shutting_down' });
    await expect(ask('cold')).rejects.toMatchObject({ code: 'shutting_down' });
    busy.release();
    expect((await turn).replica.view.id).toBe('m/0');
    admission.close();
  });
});

describe('a pool that leaves', () => {
  it('is named by nobody, and its replicas keep their places', async () => {
    const leaving = pool('old', [replica('old/0')], { leaving: true, aliases: ['o'] });
    const table = tableOf(pool('m', [replica('m/0')]), leaving);
    expect(table.names).toEqual(['m']);
    expect(table.served.map(({ view }) => view.model)).toEqual(['m']);
    expect(table.poolOf('old/0')?.view.model).toBe('old');
    const { ask } = setUp(table);
    await expect(ask('old')).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('refuses what waits in its queue', async () => {
    const { admission, ask } = setUp(tableOf(pool('m', [replica('m/0')])));
    await ask('m');
    const waits = ask('m');
    admission.update(tableOf(pool('m', [replica('m/0')], { leaving: true })), TEST_SETTINGS);
    await expect(waits).rejects.toMatchObject({ code: 'model_not_found' });
  });
});

describe('two workers with requests for the same places', () => {
  /** Requests of tenants in each worker, and one place, which goes from one to the next; the order in which they had it. */
  async function orderOf(
    waiting: [worker: number, caller: Partial<Caller>, count: number][],
    served: number,
  ) {
    const memory = createSharedMemory();
    const table = tableOf(pool('m', [replica('m/0')]));
    // A place is left to whose turn it is for as long as that takes here: a busy machine changes nothing in the order.
    const workers = [0, 1].map((worker) => setUp(table, memory, worker, FOR_GOOD_MS));
    const order: string[] = [];
    let held = await workers[0]!.ask('m');
    for (const [worker, caller, count] of waiting) {
      for (let turn = 0; turn < count; turn++) {
        workers[worker]!.ask('m', caller).then(
          (lease) => {
            order.push(`${worker} ${caller.tenant}`);
            held = lease;
          },
          () => {},
        );
      }
    }
    while (order.length < served) {
      const before = order.length;
      held.release();
      await expect.poll(() => order.length, { interval: 1, timeout: 10_000 }).toBe(before + 1);
    }
    for (const { admission } of workers) admission.close();
    return order;
  }
  const countOf = (order: string[], of: string) => order.filter((one) => one === of).length;

  it('take turns, although the place always comes free in one of them', async () => {
    const loud = { tenant: 'loud' };
    const order = await orderOf(
      [
        [0, loud, 40],
        [1, loud, 40],
      ],
      40,
    );
    expect(Math.abs(countOf(order, '0 loud') - 20)).toBeLessThanOrEqual(2);
  });

  it('serve a tenant that asks for little soon, whichever of them another one floods', async () => {
    const loud = { tenant: 'loud' };
    const order = await orderOf(
      [
        [0, loud, 45],
        [1, { tenant: 'quiet' }, 2],
        [1, loud, 45],
      ],
      12,
    );
    expect(countOf(order, '1 quiet')).toBe(2);
  });

  it('get places by the weights of who waits in each', async () => {
    const order = await orderOf(
      [
        [0, { tenant: 'light', weight: 1 }, 40],
        [1, { tenant: 'heavy', weight: 3 }, 45],
      ],
      40,
    );
    expect(Math.abs(countOf(order, '1 heavy') - 30)).toBeLessThanOrEqual(2);
  });

  it('let nobody who arrives in one overtake those that wait in the other', async () => {
    const memory = createSharedMemory();
    const table = tableOf(pool('m', [replica('m/0')]));
    const [one, other] = [0, 1].map((worker) => setUp(table, memory, worker, FOR_GOOD_MS)) as [
      ReturnType<typeof setUp>,
      ReturnType<typeof setUp>,
    ];
    let held = await one.ask('m');
    const order: string[] = [];
    const note = (name: string) => (lease: Lease) => {
      order.push(name);
      held = lease;
    };
    void other.ask('m').then(note('first there'));
    void other.ask('m').then(note('second there'));
    held.release();
    // The place is free at this moment, and the other has not been woken.
    void one.ask('m').then(note('newcomer here'));
    await expect.poll(() => order).toHaveLength(1);
    expect(order).toEqual(['first there']);
    held.release();
    await expect.poll(() => order).toHaveLength(2);
    held.release();
    await expect.poll(() => order).toHaveLength(3);
    expect(order.slice(1).sort()).toEqual(['newcomer here', 'second there']);
    for (const { admission } of [one, other]) admission.close();
  });

  it('keep nobody from a place that is left over by all who wait elsewhere', async () => {
    const memory = createSharedMemory();
    const table = tableOf(
      pool('m', [replica('m/0', [], { window: 3 }), replica('m/1', [], { state: 'starting' })], {
        adapters: ['sql'],
      }),
    );
    const [one, other] = [setUp(table, memory, 0, FOR_GOOD_MS), setUp(table, memory, 1, FOR_GOOD_MS)];
    void other.ask('sql').catch(() => {});
    void one.ask('m');
    await settled();
    expect(one.order).toEqual(['m']);
    for (const { admission } of [one, other]) admission.close();
  });

  it('give a newcomer what those that wait elsewhere can not use, without a wake-up', async () => {
    const memory = createSharedMemory();
    const table = tableOf(pool('m', [replica('m/0')], { adapters: ['sql'] }));
    const [one, other] = [setUp(table, memory, 0), setUp(table, memory, 1)];
    void other.ask('sql').catch(() => {});
    expect((await one.ask('m')).replica.view.id).toBe('m/0');
    for (const { admission } of [one, other]) admission.close();
  });

  it('leave a place to nobody who can not use it', async () => {
    const memory = createSharedMemory();
    const table = tableOf(
      pool('m', [replica('m/0'), replica('m/1', [adapter('sql')])], { adapters: ['sql'] }),
    );
    const [one, other] = [setUp(table, memory, 0), setUp(table, memory, 1)];
    const places = [await one.ask('m'), await one.ask('m')];
    // Served before, so that it is the turn of the other from here on.
    const first = one.ask('m');
    places.find(({ replica: { view } }) => view.id === 'm/0')?.release();
    (await first).release();
    const again = await one.ask('m');
    void other.ask('sql').catch(() => {});
    const mine = one.ask('m');
    again.release();
    expect((await mine).replica.view.id).toBe('m/0');
    for (const { admission } of [one, other]) admission.close();
  });
});
