/**
 * What a restart of a whole pool means for each of its replicas. The machine goes by it, and people are told the same: a
 * replica that cannot be restarted is named.
 */
import type { FleetState } from './fleet-state.ts';
import type { Replica } from './replica.ts';

/** - `roll`: one at a time, above the floor.
 *  - `return`: was drained; it costs no capacity, so it comes back at once.
 *  - `underWay`: is being started or restarted already.
 *  - `leaving`: is being taken out.
 *  - `elsewhere`: is watched only, and in rotation. */
export type PoolRestartPart = 'roll' | 'return' | 'underWay' | 'leaving' | 'elsewhere';

export type PoolRestart = Record<PoolRestartPart, string[]>;

export function planPoolRestart({ replicas }: Pick<FleetState, 'replicas'>, pool: string): PoolRestart {
  const plan: PoolRestart = { roll: [], return: [], underWay: [], leaving: [], elsewhere: [] };
  for (const replica of Object.values(replicas))
    if (replica.spec.pool === pool && !replica.stray) plan[partOf(replica)].push(replica.spec.id);
  return plan;
}

function partOf({ goal, phase, spec }: Replica): PoolRestartPart {
  if (goal.kind === 'remove') return 'leaving';
  if (goal.kind === 'stop') return 'return';
  if (!spec.managed) return 'elsewhere';
  return goal.kind === 'restart' || phase.name === 'recording' ? 'underWay' : 'roll';
}
