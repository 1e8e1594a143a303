/**
 * Ends the gateways and engines of one installation from outside, when there is no node process that could. They are found by
 * their owner tags and by their records, so that nothing stays behind. Called by the launcher only.
 */
import type { Clock } from '../base/clock.ts';
import type { ProcessHost, ProcessIdentity } from '../contract/ports/process-host.ts';

export interface OwnedProcesses {
  processHost: ProcessHost;
  clock: Clock;
  /** First part of every owner tag. */
  instance: string;
  /** Processes that have a record on disk, for platforms where tags cannot be read. */
  recorded(): Promise<ProcessIdentity[]>;
}

const POLL_MS = 50;
/** A process that is just being started appears in one of the next rounds. */
const KILL_ROUNDS = 20;
/** After SIGTERM to an engine: its sockets and GPU memory need a moment. */
const ENGINE_GRACE_MS = 10_000;

/** SIGKILL to every process group, until none is left. Resolves with the number of groups that were killed. */
export async function killOwned(owned: OwnedProcesses): Promise<number> {
  const killed = new Set<number>();
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const alive = await living(owned, '');
    // Children of engines in groups of their own carry the tag as well, and have no other sign.
    const strays = owned.processHost.killOwned(`${owned.instance}:`);
    if (alive.length === 0 && strays === 0) return killed.size;
    for (const identity of alive) {
      owned.processHost.signalGroup(identity, 'SIGKILL');
      killed.add(identity.pid);
    }
    await owned.clock.sleep(POLL_MS);
  }
  return killed.size;
}

/** In order, as the node process would: gateways drain, then engines stop; what is left after the deadlines is killed. */
export async function stopOwned(owned: OwnedProcesses, drainTimeoutMs: number): Promise<void> {
  await terminate(owned, 'gateway:', drainTimeoutMs);
  await terminate(owned, '', ENGINE_GRACE_MS);
  await killOwned(owned);
}

async function terminate(owned: OwnedProcesses, kind: string, deadlineMs: number): Promise<void> {
  const { processHost, clock } = owned;
  const endMs = clock.monotonicMs() + deadlineMs;
  for (const identity of await living(owned, kind)) processHost.signalGroup(identity, 'SIGTERM');
  while (clock.monotonicMs() < endMs && (await living(owned, kind)).length > 0) await clock.sleep(POLL_MS);
}

async function living({ processHost, instance, recorded }: OwnedProcesses, kind: string) {
  const found = new Map<number, ProcessIdentity>();
  for (const { identity } of processHost.findOwned(`${instance}:${kind}`)) found.set(identity.pid, identity);
  if (kind === '') for (const identity of await recorded()) found.set(identity.pid, identity);
  return [...found.values()].filter((identity) => processHost.isAlive(identity));
}
