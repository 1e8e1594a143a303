import { describe, expect, it, vi } from 'vitest';
import { poolOf, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import type { ReplicaState } from '../../../contract/fleet.ts';
import type { SuspectRecord } from '../../../contract/suspects.ts';
import type { SlottedSnapshot } from '../fleet-table.ts';
import { GATE_BYTES, ReplicaGates } from '../health/replica-gates.ts';
import { SuspectKeeper } from './suspect-keeper.ts';
import { firstAskOf, type ToDesk } from './suspect-messages.ts';

const RECORD: SuspectRecord = {
  ...{ fingerprint: 'poison', model: 'm', endpoint: 'chat', status: 'accused', crashes: [], requestId: 'r' },
  ...{ changedAtMs: 1, expiresAtMs: 1_000_000 },
};
const CRASHED = {
  type: 'crashed',
  ...{ model: 'm', endpoint: 'chat', requestId: 'r', pool: 'm', replica: 'm/0' },
  ...{ generation: 1, runningMs: 10, committed: true, former: null, surely: true },
} as const;

function setUp({ records = [] as SuspectRecord[], enabled = true } = {}) {
  let nowMs = 1_000;
  const clock = {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    machineMs: () => nowMs,
    sleep: async () => {},
  };
  const gates = new ReplicaGates(new SharedArrayBuffer(GATE_BYTES));
  const said: [worker: number | 'all', message: ToDesk][] = [];
  const onChanged = vi.fn();
  const keeper = new SuspectKeeper({
    ...{ clock, gates, records, onChanged, inFlight: () => 0 },
    tellWorker: (worker, message) => said.push([worker, message]),
    tellAll: (message) => said.push(['all', message]),
  });
  const snapshot = (states: ReplicaState[], isOn = enabled): SlottedSnapshot => ({
    snapshot: {
      version: { epoch: 1, seq: 1 },
      settings: {
        ...TEST_SETTINGS,
        quarantine: {
          ...{
            enabled: isOn,
            fingerprintKey: 'ab',
            suspectTtlMs: 60_000,
            holdTtlMs: 60_000,
            convictTtlMs: 60_000,
          },
        },
      },
      fleet: {
        pools: [
          poolOf(
            'm',
            states.map((state) => ({ url: 'http://127.0.0.1:1', state })),
          ),
        ],
      },
    },
    ...{ replicaSlots: { 'm/0': 0, 'm/1': 1, 'm/2': 2 }, poolSlots: { m: 0 }, limitSlots: {} },
  });
  const pass = (ms: number) => {
    nowMs += ms;
    keeper.tick();
  };
  return { keeper, gates, said, onChanged, snapshot, pass };
}

describe('the list of suspect requests of a gateway', () => {
  it('tells workers whom to look out for before it gives a verdict, and what changed once for all of a moment', async () => {
    const { keeper, said, onChanged, snapshot } = setUp();
    keeper.update(snapshot(['ready', 'ready']));
    const ask = firstAskOf(3);
    keeper.take({ ...CRASHED, atMs: 1_000, fingerprint: 'a', ask });
    keeper.take({ ...CRASHED, atMs: 1_000, fingerprint: 'b', ask: ask + 1 });
    expect(said.slice(0, 2)).toEqual([
      ['all', { type: 'listed', added: ['a'], removed: [] }],
      [3, { type: 'verdict', ask, verdict: { kind: 'go', avoid: ['m/1@1'] } }],
    ]);
    await vi.waitFor(() => expect(onChanged).toHaveBeenCalledOnce());
    expect(onChanged.mock.lastCall?.[0]).toHaveLength(2);
    keeper.take({ type: 'ended', atMs: 1_000, ask: null, fingerprint: 'a', completed: true });
    expect(said.at(-1)).toEqual(['all', { type: 'listed', added: [], removed: ['a'] }]);
    expect(keeper.listed()).toEqual({ type: 'listed', added: ['b'], removed: [] });
    expect(keeper.counts()).toMatchObject({ suspected: 1, released: 1 });
  });

  it('closes the replica of a trial to all others until it is over, whatever the breaker says meanwhile', () => {
    const { keeper, gates, said, snapshot } = setUp({ records: [RECORD] });
    keeper.update(snapshot(['ready', 'ready']));
    const ask = firstAskOf(1);
    keeper.take({ type: 'arrived', atMs: 1_000, ask, fingerprint: 'poison', pool: 'm' });
    expect(said.at(-1)).toMatchObject([1, { verdict: { kind: 'place', replica: 'm/0', alone: true } }]);
    expect([gates.isClosed(0), gates.isClosed(1)]).toEqual([true, false]);
    gates.set(0, { gate: 'open', share: 1, reportsSuccess: false });
    expect(gates.isClosed(0)).toBe(true);
    keeper.take({ type: 'ended', atMs: 1_000, ask, fingerprint: 'poison', completed: true });
    expect(gates.isClosed(0)).toBe(false);
  });

  it('does not take a replica for dead whose probes are only late', () => {
    const { keeper, snapshot, pass } = setUp();
    const late = snapshot(['unready', 'ready']);
    const [pool] = late.snapshot.fleet.pools;
    late.snapshot.fleet.pools[0] = {
      ...pool!,
      replicas: pool!.replicas.map((view) => (view.state === 'ready' ? view : { ...view, late: true })),
    };
    keeper.update(late);
    keeper.take({ ...CRASHED, type: 'errored', atMs: 1_000, fingerprint: 'a' });
    pass(1_000);
    expect(keeper.records).toEqual([]);
    keeper.update(snapshot(['unready', 'ready']));
    expect(keeper.records).toMatchObject([{ fingerprint: 'a', status: 'suspected' }]);
  });

  it('ends a trial with the worker that had it', () => {
    const { keeper, gates, snapshot } = setUp({ records: [RECORD] });
    keeper.update(snapshot(['ready', 'ready']));
    keeper.take({ type: 'arrived', atMs: 1_000, ask: firstAskOf(1), fingerprint: 'poison', pool: 'm' });
    keeper.workerEnded(0);
    expect(gates.isClosed(0)).toBe(true);
    keeper.workerEnded(1);
    expect(gates.isClosed(0)).toBe(false);
  });

  it('forgets by time, and says so', () => {
    const { keeper, said, snapshot, pass } = setUp({ records: [{ ...RECORD, expiresAtMs: 2_000 }] });
    keeper.update(snapshot(['ready']));
    pass(1_500);
    expect(said).toEqual([['all', { type: 'listed', added: [], removed: ['poison'] }]]);
  });

  it('does not tell on what it was told', async () => {
    const { keeper, said, onChanged, snapshot } = setUp();
    keeper.update(snapshot(['ready']));
    keeper.hear([RECORD]);
    expect(said).toEqual([['all', { type: 'listed', added: ['poison'], removed: [] }]]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(onChanged).not.toHaveBeenCalled();
  });

  it('lets go of replicas and of those who wait when quarantine is switched off', () => {
    const { keeper, gates, said, snapshot } = setUp({ records: [RECORD] });
    keeper.update(snapshot(['ready', 'ready']));
    const ask = firstAskOf(1);
    keeper.take({ type: 'arrived', atMs: 1_000, ask, fingerprint: 'poison', pool: 'm' });
    expect(gates.isClosed(0)).toBe(true);
    keeper.update(snapshot(['ready', 'ready'], false));
    expect(gates.isClosed(0)).toBe(false);
    expect(said.at(-1)).toEqual([1, { type: 'verdict', ask, verdict: { kind: 'go', avoid: [] } }]);
    expect(keeper.records).toMatchObject([{ fingerprint: 'poison' }]);
  });

  it('is deaf where quarantine is off', () => {
    const { keeper, said, snapshot } = setUp({ enabled: false });
    keeper.update(snapshot(['ready']));
    keeper.take({ ...CRASHED, atMs: 1_000, fingerprint: 'a', ask: 1 });
    expect([said, keeper.records]).toEqual([[], []]);
  });
});
