/**
 * One replica as the recovery machine sees it. `phase` is what goes on, `goal` is what is to come of it; the public state
 * follows from the phase alone (`stateOf`), so that the two cannot disagree. Values are replaced, never changed in place.
 */
import type { ReplicaState } from '../../contract/fleet.ts';
import type { ReadinessRung } from '../../contract/ports/engine-driver.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { FailureKind } from '../../contract/ports/replica-records.ts';

/** What the configuration says about a replica, as far as recovery depends on it. */
export interface ReplicaSpec {
  /** `<pool>/<ordinal>` */
  id: string;
  pool: string;
  /** False: runs elsewhere, is watched only. */
  managed: boolean;
  /** Changes when the process would be started differently; for watched replicas, when their address changes. */
  launchHash: string;
  /** Where a watched replica is; null for those that are started. */
  url: string | null;
  startTimeoutMs: number;
}

export type Phase =
  | { name: 'stopped' }
  /** The coming start is written down before it happens, so that it counts even if the supervisor dies of it. */
  | { name: 'recording'; afterFailure: boolean }
  | { name: 'spawning' }
  /** The start was not answered in time: is there a process or not? */
  | { name: 'searching' }
  | {
      name: 'climbing';
      rung: ReadinessRung;
      sinceMs: number;
      deadlineMs: number | null;
      nextProbeAtMs: number;
    }
  | {
      name: 'serving';
      readySinceMs: number;
      failedProbes: number;
      /** When the newest probe was sent. */
      probedAtMs: number;
      nextProbeAtMs: number;
    }
  /**
   * `served`: it was in rotation before. `late`: its newest probe was not answered in time, though its port is open: it may only
   * have too much to do, or whoever probes it may.
   */
  | { name: 'ailing'; rung: ReadinessRung; nextProbeAtMs: number; served: boolean; late: boolean }
  /** Before `settledAtMs` "nothing in flight" means nothing: gateways may not have heard of the drain. */
  | { name: 'draining'; settledAtMs: number; deadlineMs: number }
  | { name: 'terminating'; signal: 'TERM' | 'KILL'; sent: number; deadlineMs: number | null }
  | { name: 'waiting'; untilMs: number }
  | { name: 'quarantined' };

/**
 * `run`: shall serve. `restart`: shall end and start again. `stop`: shall end and stay down. `remove`: shall end and be
 * forgotten. `fail`: is ended because it failed, and that failure is judged when it is gone.
 */
export type Goal =
  | { kind: 'run' }
  | { kind: 'restart' }
  | { kind: 'stop' }
  | { kind: 'remove' }
  | { kind: 'fail'; failure: FailureKind; summary: string };

export interface Failure {
  atMs: number;
  kind: FailureKind;
  /** When the restart that followed happened, or is due. */
  restartAtMs: number;
}

/** An effect that was asked for and neither answered nor given up. */
export interface Outstanding {
  id: number;
  deadlineMs: number;
}

export interface Replica {
  spec: ReplicaSpec;
  /** A process of ours that nothing accounts for: it is ended and forgotten, and has no record. */
  stray: boolean;
  phase: Phase;
  goal: Goal;
  /** Why it is in this state, in one sentence. */
  reason: string;
  sinceMs: number;
  /** Counts starts; of a watched replica it never changes. */
  generation: number;
  process: ProcessIdentity | null;
  /** The last one known; of a dead process, too. */
  url: string | null;
  /** What the process was started with. */
  startedHash: string;
  attempt: number;
  restarts: number;
  failures: readonly Failure[];
  lastIncident: { atMs: number; summary: string } | null;
  /** Requests that gateways have on it; null: not known, since they have not said so after the drain began. Unknown is not 0. */
  inFlight: number | null;
  /** The record on disk is older than this state. */
  unwritten: boolean;
  writing: Outstanding | null;
  probing: (Outstanding & { rung: ReadinessRung }) | null;
  /** The one effect that changes the process: never two at once. */
  acting: (Outstanding & { kind: 'spawn' | 'find' | 'signal' }) | null;
}

const STATE_OF: Record<Phase['name'], ReplicaState> = {
  stopped: 'stopped',
  recording: 'starting',
  spawning: 'starting',
  searching: 'starting',
  climbing: 'starting',
  serving: 'ready',
  ailing: 'unready',
  draining: 'draining',
  terminating: 'stopping',
  waiting: 'backing-off',
  quarantined: 'quarantined',
};

export function stateOf(replica: Replica): ReplicaState {
  return STATE_OF[replica.phase.name];
}

export function createReplica(spec: ReplicaSpec, generation: number, nowMs: number): Replica {
  return {
    spec,
    stray: false,
    phase: { name: 'stopped' },
    goal: { kind: 'run' },
    reason: 'not started yet',
    sinceMs: nowMs,
    generation,
    process: null,
    url: spec.url,
    startedHash: spec.launchHash,
    attempt: 0,
    restarts: 0,
    failures: [],
    lastIncident: null,
    inFlight: 0,
    unwritten: false,
    writing: null,
    probing: null,
    acting: null,
  };
}
