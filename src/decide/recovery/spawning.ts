/**
 * From "shall run" to a process: write the start down, spawn, and find out what became of a spawn that nobody answered.
 * Invariant: a generation is spawned only when the one before is known to be gone and no other order is under way.
 */
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { Draft } from './draft.ts';
import { terminate } from './ending.ts';
import { climb } from './entering.ts';
import { failed, quarantine } from './failing.ts';
import type { Replica } from './replica.ts';
import { countRestart } from './start.ts';

/** Carries on with whatever waited for an order to be answered. Called at the end of each step that touched the replica. */
export function proceed(draft: Draft, replica: Replica): void {
  if (replica.acting !== null) return;
  if (replica.phase.name === 'recording' && replica.writing === null && !replica.unwritten)
    spawn(draft, replica);
  else if (replica.phase.name === 'searching') search(draft, replica);
  else if (replica.phase.name === 'terminating' && replica.phase.deadlineMs === null) signal(draft, replica);
}

function spawn(draft: Draft, replica: Replica): void {
  // Writing it down may have taken its time; the limit on restarts counts the moment of the start.
  if (replica.phase.name === 'recording' && replica.phase.afterFailure) countRestart(draft, replica);
  replica.startedHash = replica.spec.launchHash;
  const notAfterMs = draft.nowMs + draft.settings.spawnTimeoutMs;
  replica.phase = { name: 'spawning' };
  const { id } = replica.spec;
  const order = { type: 'spawn', replica: id, generation: replica.generation, notAfterMs } as const;
  replica.acting = { ...draft.order(order, notAfterMs + draft.settings.answerSlackMs), kind: 'spawn' };
}

function search(draft: Draft, replica: Replica): void {
  const order = { type: 'find', replica: replica.spec.id, generation: replica.generation } as const;
  replica.acting = {
    ...draft.order(order, draft.nowMs + draft.settings.localTimeoutMs),
    kind: 'find',
  };
}

function signal(draft: Draft, replica: Replica): void {
  const { phase, process, generation } = replica;
  if (phase.name !== 'terminating' || process === null) return;
  const order = draft.order(
    { type: 'signal', replica: replica.spec.id, generation, process, signal: phase.signal },
    draft.nowMs + draft.settings.localTimeoutMs,
  );
  replica.acting = { ...order, kind: 'signal' };
  const patienceMs = phase.signal === 'TERM' ? draft.settings.termGraceMs : draft.settings.killRetryMs;
  replica.phase = { ...phase, sent: phase.sent + 1, deadlineMs: draft.nowMs + patienceMs };
}

export function onSpawned(
  draft: Draft,
  replica: Replica,
  { process, url }: { process: ProcessIdentity; url: string | null },
): void {
  const { name } = replica.phase;
  // In any other phase the exit of this very process was seen before the answer.
  if (name !== 'spawning' && name !== 'searching') return;
  replica.process = process;
  replica.url = url;
  replica.inFlight = 0;
  if (replica.goal.kind !== 'run') return terminate(draft, replica, replica.reason);
  climb(draft, replica, `pid ${process.pid} runs, its port is not open yet`);
}

export function onSpawnFailed(
  draft: Draft,
  replica: Replica,
  { permanent, reason }: { permanent: boolean; reason: string },
): void {
  const { name } = replica.phase;
  if (name !== 'spawning' && name !== 'searching') return;
  if (permanent && replica.goal.kind === 'run') return quarantine(draft, replica, reason);
  failed(draft, replica, { kind: 'not-started', summary: reason });
}

export function onFound(
  draft: Draft,
  replica: Replica,
  { process, url }: { process: ProcessIdentity | null; url: string | null },
): void {
  if (replica.phase.name !== 'searching') return;
  if (process !== null) return onSpawned(draft, replica, { process, url });
  failed(draft, replica, {
    kind: 'not-started',
    summary: `the start was not carried out within ${draft.settings.spawnTimeoutMs} ms`,
  });
}

/** The answer to an order of the `acting` kind did not come. */
export function onActingTimeout(draft: Draft, replica: Replica): void {
  const was = replica.acting?.kind;
  replica.acting = null;
  if (was === 'spawn' && replica.phase.name === 'spawning')
    draft.enter(replica, { name: 'searching' }, 'the start was not answered; looking for the process');
}
