import { expect, it } from 'vitest';
import { poolOf, TEST_SETTINGS } from '../../../../tests/support/gateway-under-test.ts';
import type { ReplicaView } from '../../../contract/fleet.ts';
import type { GatewaySnapshot } from '../../../contract/gateway-snapshot.ts';
import { keepLate, keptLate } from './late-replicas.ts';

type How = 'ready' | 'late' | 'unready' | 'starting';

function statesOf(...how: How[]): ReplicaView['state'][] {
  const pool = poolOf(
    'demo',
    how.map(() => ({ url: 'http://x' })),
  );
  const replicas = pool.replicas.map(
    (view, index): ReplicaView =>
      how[index] === 'late'
        ? { ...view, state: 'unready', late: true }
        : { ...view, state: how[index] as 'ready' },
  );
  const snapshot: GatewaySnapshot = {
    version: { epoch: 1, seq: 1 },
    settings: TEST_SETTINGS,
    fleet: { pools: [{ ...pool, replicas }] },
  };
  const { fleet } = keepLate(snapshot);
  const states = fleet.pools[0]!.replicas.map(({ state }) => state);
  expect(keptLate(fleet).demo).toBe(
    states.filter((state, at) => state === 'ready' && how[at] === 'late').length,
  );
  return states;
}

it('keeps late replicas in where fewer than half, or none, would serve', () => {
  expect(statesOf('late')).toEqual(['ready']);
  expect(statesOf('late', 'late')).toEqual(['ready', 'ready']);
  expect(statesOf('ready', 'late', 'late', 'late')).toEqual(['ready', 'ready', 'ready', 'ready']);
  expect(statesOf('unready', 'late')).toEqual(['unready', 'ready']);
});

it('leaves them out where enough others serve, and never takes in what is ill or starting', () => {
  expect(statesOf('ready', 'late')).toEqual(['ready', 'unready']);
  expect(statesOf('ready', 'ready', 'late', 'late')).toEqual(['ready', 'ready', 'unready', 'unready']);
  expect(statesOf('unready', 'unready')).toEqual(['unready', 'unready']);
  expect(statesOf('starting', 'late')).toEqual(['starting', 'ready']);
});
