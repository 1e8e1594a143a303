/**
 * What must survive the supervisor, in the machine's own time. The plane turns it into a `ReplicaRecord` with wall-clock
 * times and back.
 */
import type { ReplicaState } from '../../contract/fleet.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { FailureKind, LadderPlace, RecordedIncident } from '../../contract/ports/replica-records.ts';
import type { LaunchAdjustment } from '../../contract/remedies.ts';
import type { Failure, Goal, Replica } from './replica.ts';
import { stateOf } from './replica.ts';

export interface ReplicaMemory {
  id: string;
  generation: number;
  process: ProcessIdentity | null;
  url: string | null;
  launchHash: string;
  provenHash: string;
  state: ReplicaState;
  reason: string;
  sinceMs: number;
  goal: Goal['kind'];
  /** What it is ended for, where the goal is `fail`; null otherwise. */
  failing: FailureKind | null;
  attempt: number;
  restarts: number;
  failures: readonly Failure[];
  lastIncident: { atMs: number; summary: string } | null;
  standby: boolean;
  adjustment: LaunchAdjustment;
  ladders: readonly LadderPlace[];
  incident: RecordedIncident | null;
  windowShare: number;
}

export function memoryOf(replica: Replica): ReplicaMemory {
  return {
    id: replica.spec.id,
    generation: replica.generation,
    process: replica.process,
    url: replica.url,
    launchHash: replica.startedHash,
    provenHash: replica.provenHash,
    state: stateOf(replica),
    reason: replica.reason,
    sinceMs: replica.sinceMs,
    goal: replica.goal.kind,
    failing: replica.goal.kind === 'fail' ? replica.goal.failure : null,
    attempt: replica.attempt,
    restarts: replica.restarts,
    failures: replica.failures,
    lastIncident: replica.lastIncident,
    standby: replica.standby,
    adjustment: replica.adjustment,
    ladders: replica.ladders,
    incident: replica.incident,
    windowShare: replica.windowShare,
  };
}
