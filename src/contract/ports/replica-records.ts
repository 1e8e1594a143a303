/**
 * Port: what the supervisor must remember about its replicas to come back after its own death. In the contract: a record is
 * written whole or not at all, writes of one replica happen in the order of the calls, and a record that cannot be read is
 * set aside and reported, never an error. Times are wall-clock, since they are read by another process than wrote them.
 */
import type { ReplicaState } from '../fleet.ts';
import type { PolicyClass } from '../recovery-policy.ts';
import type { LaunchAdjustment, Remedy } from '../remedies.ts';
import type { ProcessIdentity } from './process-host.ts';

/**
 * `exited`: the process ended unasked. `not-started`: it could not be spawned. `not-ready`: it ran out of its start time.
 * `unhealthy`: it ran, did not do its work, and was ended for it.
 */
export const FAILURE_KINDS = ['exited', 'not-started', 'not-ready', 'unhealthy'] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** How far the ladder of one class of fault was climbed. */
export interface LadderPlace {
  class: PolicyClass;
  /** Remedies that were tried; each incident tries one at least. */
  tries: number;
  lastAtMs: number;
}

/** An incident that is not over, with the remedy that is under way. */
export interface RecordedIncident {
  id: string;
  class: PolicyClass;
  summary: string;
  openedAtMs: number;
  remedy: { remedy: Remedy; step: number; startedAtMs: number } | null;
}

export interface ReplicaRecord {
  /** `<pool>/<ordinal>` */
  id: string;
  generation: number;
  /** Null when none runs, or when one is just being started: it is then found by its owner tag. */
  process: ProcessIdentity | null;
  url: string | null;
  /** Hash of what the process was started with; a different one means that the configuration has changed. */
  launchHash: string;
  /** Of a start that became ready. Default: none did. */
  provenHash?: string;
  state: ReplicaState;
  reason: string;
  stateSinceAtMs: number;
  /** What shall become of it. `stop`: a person wants it down, also over restarts of the supervisor. `fail`: ended by us. */
  goal: 'run' | 'restart' | 'stop' | 'remove' | 'fail' | 'quarantine';
  /** What it is ended for, where the goal is `fail`. Default: nothing. */
  failing?: FailureKind | null;
  /** Restarts since it last stayed ready; exponent of the backoff. */
  attempt: number;
  /** Unasked restarts since the record began. */
  restarts: number;
  /** Failures that count against the restart intensity, oldest first. */
  failures: { atMs: number; kind: FailureKind; restartAtMs: number }[];
  lastIncident: { atMs: number; summary: string } | null;
  /** It is loaded and takes no traffic until another one fails. Default: no. */
  standby?: boolean;
  /** Default: none. */
  adjustment?: LaunchAdjustment;
  /** Default: none was climbed. */
  ladders?: LadderPlace[];
  /** Default: none is open. */
  incident?: RecordedIncident | null;
  /** Share of its window that is used. Default: 1. */
  windowShare?: number;
}

export interface ReplicaRecords {
  readAll(): Promise<{ records: ReplicaRecord[]; setAside: { file: string; problem: string }[] }>;
  write(record: ReplicaRecord): Promise<void>;
  remove(id: string): Promise<void>;
}
