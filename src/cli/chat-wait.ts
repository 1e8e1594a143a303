/** Why the first token of an answer takes its time, as far as the running system says. */
import type { AdminClient } from '../client/admin-client.ts';
import type { PoolStatus } from '../contract/admin-api.ts';
import { printable } from './terminal.ts';

const ANSWER_TIMEOUT_MS = 2_000;

/**
 * `admin` is null where the gateway is that of another machine. Gives undefined where nothing is known, or nothing that a
 * program (not `interactive`) should be told. Never rejects.
 */
export function waitExplainer(
  admin: AdminClient | null,
  interactive: boolean,
): (model: string) => Promise<string | undefined> {
  return async (model) => {
    const status = await admin?.status(AbortSignal.timeout(ANSWER_TIMEOUT_MS)).catch(() => undefined);
    const pool = status?.pools.find((one) => one.model === model || one.aliases.includes(model));
    return pool === undefined || (pool.ready > 0 && !interactive) ? undefined : explainWait(pool);
  };
}

export function explainWait({ model, ready, total, queued, replicas }: PoolStatus): string {
  if (ready > 0) {
    return `(waiting for the first token: ${ready} of ${total} replicas of "${printable(model)}" are ready, ${queued} ${queued === 1 ? 'request waits' : 'requests wait'} for a place)`;
  }
  const states = replicas.map(
    ({ id, state, reason }) => `${printable(id)} is ${state}: ${printable(reason).replaceAll(/\s+/g, ' ')}`,
  );
  return `(waiting for a replica of "${printable(model)}": ${states.join('; ')})`;
}
