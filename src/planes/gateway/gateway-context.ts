/**
 * What every request of a worker works with: the present settings, the parts of the plane, and where observations go.
 */
import type { Clock } from '../../base/clock.ts';
import type { ContinuationTier } from '../../contract/continuation.ts';
import type { AttemptFailure, Fact } from '../../contract/facts.ts';
import type { GatewaySettings } from '../../contract/gateway-snapshot.ts';
import type { FileContents } from '../../contract/ports/file-contents.ts';
import type { Stores } from '../../contract/ports/stores.ts';
import type { Transport } from '../../contract/ports/transport.ts';
import type { RetryBudget } from '../../decide/scheduling/retry-budget.ts';
import type { Admission, Lease } from './admission.ts';
import type { Attempt } from './attempt.ts';
import type { AttemptEnd } from './attempt-end.ts';
import type { RequestBatching } from './batching/batched-request.ts';
import type { RequestCache } from './cache/cached-request.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { FillerAdmission } from './filler-admission.ts';
import type { FillerPace } from './filler-pace.ts';
import type { FleetTable, ReplicaEntry } from './fleet-table.ts';
import type { StepTimes } from './health/step-times.ts';
import type { LimitGate } from './limits/limit-gate.ts';
import type { RequestRecord } from './request-record.ts';
import type { SharedState } from './shared-state.ts';
import type { SuspectDesk } from './suspects/suspect-desk.ts';

export interface GatewayContext {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly sweep: DeadlineSweep;
  readonly attempts: DeadlineSweep<Attempt>;
  readonly shared: SharedState;
  /** Before admission: what keys and models may use. */
  readonly limits: LimitGate;
  readonly admission: Admission;
  readonly retryBudget: RetryBudget;
  /** Requests that may have killed engines. */
  readonly suspects: SuspectDesk;
  /** For requests that may wait while clients are served. */
  readonly fillerAdmission: FillerAdmission;
  readonly fillerPace: FillerPace;
  /** How fast replicas are against their peers. */
  readonly steps: StepTimes;
  /** Answers that are given to more than one request. */
  readonly cache: RequestCache;
  /** Small requests that are sent to an engine together. */
  readonly batching: RequestBatching;
  /** What outlives a request. Every call may be refused (`storage_unavailable`), and nothing else may depend on it. */
  readonly stores: Stores;
  /** The bytes of files. */
  readonly fileContents: FileContents;
  /** Of the newest snapshot. */
  readonly settings: GatewaySettings;
  /** The fleet of the newest snapshot. */
  readonly table: FleetTable;
  /** Whether, by the newest snapshot, something is wrong with a replica or it was started anew since, and another is ready. */
  isSuspect(replica: ReplicaEntry): boolean;
  /** Keeps a replica that seems dead out of rotation until the supervisor has looked. */
  ejectBriefly(replica: ReplicaEntry): void;
  /** Something of an answer came from the replica: it is at work. */
  noteProgress(replica: ReplicaEntry): void;
  /** Tells the breaker how an attempt ended, where that matters. */
  observeHealth(lease: Lease, end: AttemptEnd): void;
  report(fact: Fact): void;
  /** The request has ended: counters and log line. */
  settle(record: RequestRecord): void;
  countAttemptFailure(model: string, failure: AttemptFailure): void;
  countContinuation(tier: ContinuationTier, gapMs?: number): void;
  logError(message: string, error: unknown, requestId: string): void;
}
