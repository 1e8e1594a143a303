/**
 * The first step of every start: a new generation is counted and written down before anything happens, so that a start
 * counts even if the supervisor dies of it. Watched replicas have nothing to start: they are looked at.
 */
import type { Draft } from './draft.ts';
import { climb } from './entering.ts';
import type { Replica } from './replica.ts';

export function start(draft: Draft, replica: Replica, reason: string): void {
  replica.goal = { kind: 'run' };
  // Probes of the generation before say nothing about this one.
  replica.probing = null;
  replica.inFlight = 0;
  if (!replica.spec.managed) {
    replica.url = replica.spec.url;
    return climb(draft, replica, reason);
  }
  replica.generation++;
  replica.process = null;
  replica.startedHash = replica.spec.launchHash;
  draft.enter(replica, { name: 'recording' }, reason);
}

/** The wait after a failure is over. */
export function startAgain(draft: Draft, replica: Replica): void {
  const failures = replica.failures.slice();
  const last = failures.pop();
  if (last !== undefined) failures.push({ ...last, restartAtMs: draft.nowMs });
  replica.failures = failures;
  replica.restarts++;
  start(draft, replica, `starts again after: ${replica.lastIncident?.summary ?? 'a failure'}`);
}
