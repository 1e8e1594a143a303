/**
 * One replica as the recovery machine sees it. `phase` is what goes on, `goal` is what is to come of it; the public state
 * follows from the phase alone (`stateOf`), so that the two cannot disagree. Values are replaced, never changed in place.
 */
import type { ReplicaState } from '../../contract/fleet.ts';
import type { ReadinessRung } from '../../contract/ports/engine-driver.ts';
import type { ProcessIdentity } from '../../contract/ports/process-host.ts';
import type { FailureKind, LadderPlace, RecordedIncident } from '../../contract/ports/replica-records.ts';
import { type LaunchAdjustment, NO_ADJUSTMENT, type Remedy } from '../../contract/remedies.ts';

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
  /** It begins as a standby. */
  standby: boolean;
  means: RemedyMeans;
}

/** What its engine and its configuration offer to remedies. */
export interface RemedyMeans {
  /** The engine can be told to end requests, and to drop what it has computed. */
  abort: boolean;
  clearCaches: boolean;
  /** Steps that `restart_safer` has. */
  saferSteps: number;
  /** Lists of devices for `rebuild_elsewhere`. */
  spareDevices: number;
  /** Requests at a time. */
  window: number;
}

export const NO_MEANS: RemedyMeans = {
  abort: false,
  clearCaches: false,
  saferSteps: 0,
  spareDevices: 0,
  window: 1,
};

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
  /** Out of rotation while a remedy is tried on the living engine. */
  | { name: 'mending'; remedy: Remedy }
  /** Before `settledAtMs` "nothing in flight" means nothing: gateways may not have heard of the drain. */
  | { name: 'draining'; settledAtMs: number; deadlineMs: number }
  | { name: 'terminating'; signal: 'TERM' | 'KILL'; sent: number; deadlineMs: number | null }
  | { name: 'waiting'; untilMs: number }
  | { name: 'quarantined' };

/**
 * `run`: shall serve. `restart`: shall end and start again. `stop`: shall end and stay down. `remove`: shall end and be
 * forgotten. `fail`: is ended because it failed, and that failure is judged when it is gone. `quarantine`: shall end and stay
 * down until a person says otherwise.
 */
export type Goal =
  | { kind: 'run' }
  | { kind: 'restart' }
  | { kind: 'stop' }
  | { kind: 'remove' }
  | { kind: 'fail'; failure: FailureKind; summary: string }
  | { kind: 'quarantine'; summary: string };

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
  /** What a process was started with that became ready; empty: none did yet. */
  provenHash: string;
  attempt: number;
  restarts: number;
  failures: readonly Failure[];
  lastIncident: { atMs: number; summary: string } | null;
  incident: RecordedIncident | null;
  ladders: readonly LadderPlace[];
  adjustment: LaunchAdjustment;
  /** Takes no traffic while it serves; another one of its pool does. */
  standby: boolean;
  /** Of its window, in use; below 1 while load is shed. */
  windowShare: number;
  /** While load is shed and all is well: when it may take more again. */
  growAtMs: number | null;
  /** Requests that gateways have on it; null: not known, since they have not said so after the drain began. Unknown is not 0. */
  inFlight: number | null;
  /** The record on disk is older than this state. */
  unwritten: boolean;
  writing: Outstanding | null;
  probing: (Outstanding & { rung: ReadinessRung }) | null;
  /** The one effect that changes the process: never two at once. */
  acting: (Outstanding & { kind: 'spawn' | 'find' | 'signal' | 'capture' | 'mend' }) | null;
}

const STATE_OF: Record<Phase['name'], ReplicaState> = {
  stopped: 'stopped',
  recording: 'starting',
  spawning: 'starting',
  searching: 'starting',
  climbing: 'starting',
  serving: 'ready',
  ailing: 'unready',
  mending: 'unready',
  draining: 'draining',
  terminating: 'stopping',
  waiting: 'backing-off',
  quarantined: 'quarantined',
};

export function stateOf(replica: Replica): ReplicaState {
  const state = STATE_OF[replica.phase.name];
  return state === 'ready' && replica.standby ? 'standby' : state;
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
    provenHash: '',
    attempt: 0,
    restarts: 0,
    failures: [],
    lastIncident: null,
    incident: null,
    ladders: [],
    adjustment: NO_ADJUSTMENT,
    standby: spec.standby,
    windowShare: 1,
    growAtMs: null,
    inFlight: 0,
    unwritten: false,
    writing: null,
    probing: null,
    acting: null,
  };
}
