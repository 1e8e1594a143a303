/** Why a request gets no place on a replica, in words for its client. */
import { PlatformError } from '../../../contract/errors.ts';
import type { GatewaySettings } from '../../../contract/gateway-snapshot.ts';
import { servesThisMachineOnly } from '../authenticate.ts';
import type { PoolEntry } from '../fleet-table.ts';

export function unknownModel(model: string, known: readonly string[]): PlatformError {
  const list = known.length === 0 ? 'none' : known.slice(0, 20).join(', ');
  return new PlatformError(
    'model_not_found',
    `model "${model.slice(0, 200)}" does not exist; known: ${list}`,
    { param: 'model' },
  );
}

export function noReplica(pool: PoolEntry, settings: GatewaySettings): PlatformError {
  const { adapter, view } = pool;
  const what = adapter === undefined ? '' : ` adapter "${adapter}"`;
  const message = `no replica of model "${view.model}" can serve${what}: ${statesOf(pool, servesThisMachineOnly(settings))}`;
  return new PlatformError('no_replica', message, { retryAfterS: 5 });
}

export type Refusal = 'shed' | 'full' | 'too-late';

/** Refused before it waited. `waiting` of `limit` requests wait already. */
export function saturated(
  reason: Refusal,
  { view }: PoolEntry,
  { waiting, limit, retryAfterS }: { waiting: number; limit: number; retryAfterS: number },
): PlatformError {
  const queue = `the queue of model "${view.model}"`;
  const why: Record<Refusal, string> = {
    full: `${queue} is full: ${waiting} requests wait already`,
    shed: `${queue} is nearly full: ${waiting} of ${limit} requests wait already, and what is least urgent is refused`,
    'too-late': `${queue} is too long: ${waiting} requests wait already, and the time that this one has would be over before its turn`,
  };
  return new PlatformError('saturated', `${why[reason]}; come back in ${retryAfterS} s`, { retryAfterS });
}

/** Waited, and its time is up. */
export function waitedInVain(
  pool: PoolEntry,
  settings: GatewaySettings,
  { waitedMs, retryAfterS }: { waitedMs: number; retryAfterS: number },
): PlatformError {
  const ready = pool.replicas.filter(({ view }) => view.state === 'ready').length;
  const why =
    ready === 0
      ? statesOf(pool, servesThisMachineOnly(settings))
      : `${ready} of ${pool.replicas.length} replicas are ready, and busy`;
  const message = `no place on a replica of "${pool.view.model}" within ${Math.round(waitedMs)} ms: ${why}`;
  return new PlatformError(ready === 0 ? 'no_replica' : 'queue_timeout', message, { retryAfterS });
}

export function beingStopped(): PlatformError {
  return new PlatformError('shutting_down', 'the gateway is being stopped or replaced', { retryAfterS: 1 });
}

/** Each replica with its state; why, only for callers of this machine: reasons may name files and addresses. */
function statesOf({ view: { replicas: all }, replicas, adapter }: PoolEntry, withReasons: boolean): string {
  if (all.length === 0) return 'it has no replicas';
  return replicas
    .map(({ view: { id, state, reason, adapterProblems } }) => {
      const why = withReasons && reason !== '' ? ` (${reason})` : '';
      // It serves other names meanwhile.
      const failed = adapter !== undefined && state === 'stopped' && adapterProblems?.[adapter] !== undefined;
      return `${id} ${failed ? 'could not load it' : `is ${state}`}${why}`;
    })
    .join('; ');
}
