/**
 * The first step of every start: a new generation is counted and written down before anything happens, so that a start
 * counts even if the supervisor dies of it. Watched replicas have nothing to start: they are looked at.
 */
import { NO_ADJUSTMENT } from '../../contract/remedies.ts';
import type { Draft } from './draft.ts';
import { climb } from './entering.ts';
import type { Replica } from './replica.ts';

export function start(draft: Draft, replica: Replica, reason: string, afterFailure = false): void {
  replica.goal = { kind: 'run' };
  // Probes of the generation before say nothing about this one.
  replica.probing = null;
  replica.inFlight = 0;
  replica.startedHash = replica.spec.launchHash;
  // A person or the configuration wants it as it is written.
  if (!afterFailure) {
    replica.adjustment = NO_ADJUSTMENT;
    replica.ladders = [];
    replica.windowShare = 1;
  }
  if (!replica.spec.managed) {
    replica.url = replica.spec.url;
    return climb(draft, replica, reason);
  }
  replica.generation++;
  replica.process = null;
  draft.enter(replica, { name: 'recording', afterFailure }, reason);
}

/** The wait after a failure is over. */
export function startAgain(draft: Draft, replica: Replica): void {
  replica.restarts++;
  countRestart(draft, replica);
  start(draft, replica, `starts again after: ${replica.lastIncident?.summary ?? 'a failure'}`, true);
}

/** The restart that follows on the last failure happens at this moment. */
export function countRestart(draft: Draft, replica: Replica): void {
  const last = replica.failures.at(-1);
  if (last === undefined) return;
  replica.failures = [...replica.failures.slice(0, -1), { ...last, restartAtMs: draft.nowMs }];
}
