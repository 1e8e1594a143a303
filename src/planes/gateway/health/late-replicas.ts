/**
 * Keeps replicas in whose probes are only late, where too few others serve (`decide/scheduling/health/ejection-floor.ts`): when
 * most of a pool is late at once, it is more likely that all are busy, or that whoever probes them is. The breaker goes on judging
 * them by what they answer. Called with each new snapshot, by the main thread alone.
 */
import type { FleetSnapshot, ReplicaView } from '../../../contract/fleet.ts';
import type { GatewaySnapshot } from '../../../contract/gateway-snapshot.ts';
import { needsLate } from '../../../decide/scheduling/health/ejection-floor.ts';

/** The same snapshot, in which replicas that are kept in are ready; `late` stays. */
export function keepLate(snapshot: GatewaySnapshot): GatewaySnapshot {
  const { fleet } = snapshot;
  if (!fleet.pools.some(({ replicas }) => needsLate(replicas))) return snapshot;
  const pools = fleet.pools.map((pool) =>
    needsLate(pool.replicas) ? { ...pool, replicas: pool.replicas.map(keptIn) } : pool,
  );
  return { ...snapshot, fleet: { ...fleet, pools } };
}

function keptIn(view: ReplicaView): ReplicaView {
  return view.state === 'unready' && view.late ? { ...view, state: 'ready' } : view;
}

/** How many are kept in, by model. */
export function keptLate({ pools }: FleetSnapshot): Record<string, number> {
  return Object.fromEntries(
    pools.map(({ model, replicas }) => [
      model,
      replicas.filter(({ state, late }) => state === 'ready' && late === true).length,
    ]),
  );
}
