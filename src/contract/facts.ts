/**
 * Facts: what was observed, by whom and when. They go up from the planes; telemetry and recovery read the same ones.
 */
import type { ReplicaState } from './fleet.ts';
import type { IncidentDiagnosis } from './incidents.ts';
import type { RequestOutcome } from './outcomes.ts';
import type { Remedy } from './remedies.ts';
import type { SuspectStatus } from './suspects.ts';

/** A processor that is fully used for long; a program that an engine has no business to start; and so on. */
export type AnomalyKind = 'cpu' | 'unexpected-process' | 'process-missing' | 'container-restarted';

/** How an attempt on a replica failed, as the gateway saw it. A client's 4xx is never one of these. */
export type AttemptFailure =
  | 'connect-refused'
  | 'connect-timeout'
  | 'connection-lost'
  | 'engine-error'
  | 'empty-response'
  | 'first-token-timeout'
  | 'stall-timeout'
  /** Silent while the supervisor has it out of rotation, and another replica can take over. */
  | 'replica-suspect'
  /** The supervisor took it off the engine, so that the engine could go on. */
  | 'given-up';

export type Fact =
  | {
      type: 'attemptFailed';
      atMs: number;
      replica: string;
      generation: number;
      failure: AttemptFailure;
      requestId: string;
    }
  | {
      type: 'streamContinued';
      atMs: number;
      from: string;
      to: string;
      tier: 'A' | 'B' | 'C';
      requestId: string;
      gapMs: number;
    }
  /** A request that an attempt had failed for ended badly for its client, too. */
  | {
      type: 'requestFailed';
      atMs: number;
      /** Where its last failed attempt was. */
      replica: string;
      generation: number;
      outcome: RequestOutcome;
      requestId: string;
    }
  | {
      type: 'suspectJudged';
      atMs: number;
      fingerprint: string;
      model: string;
      status: Exclude<SuspectStatus, 'suspected'>;
      /** Where engines died with it. */
      replicas: string[];
      requestId: string;
    }
  /** Something about the processes of an engine that people should know and that is no fault by itself; once per process and kind. */
  | {
      type: 'anomalySeen';
      atMs: number;
      replica: string;
      generation: number;
      kind: AnomalyKind;
      text: string;
    }
  | { type: 'workerReplaced'; atMs: number; worker: number; reason: string }
  | {
      type: 'replicaStateChanged';
      atMs: number;
      replica: string;
      generation: number;
      from: ReplicaState;
      to: ReplicaState;
      reason: string;
    }
  // One incident, in this order. `incident` is its id.
  | {
      type: 'incidentOpened';
      atMs: number;
      incident: string;
      replica: string;
      generation: number;
      summary: string;
      diagnosis: IncidentDiagnosis;
      /** The last sign of life before it; null: not known. */
      lastGoodAtMs: number | null;
      /** It was out of rotation from this moment on. */
      isolated: boolean;
    }
  /** More became known, or the ladder came to another class. */
  | {
      type: 'incidentDiagnosed';
      atMs: number;
      incident: string;
      replica: string;
      diagnosis: IncidentDiagnosis;
    }
  | {
      type: 'remedyStarted';
      atMs: number;
      incident: string;
      replica: string;
      remedy: Remedy;
      /** Step of the ladder, from 1. */
      step: number;
      because: string;
    }
  | {
      type: 'remedyEnded';
      atMs: number;
      incident: string;
      replica: string;
      remedy: Remedy;
      helped: boolean;
      detail: string;
    }
  | { type: 'evidenceTaken'; atMs: number; incident: string; replica: string; folder: string; tookMs: number }
  | {
      type: 'incidentClosed';
      atMs: number;
      incident: string;
      replica: string;
      /** `stood-down`: a person or the configuration decided otherwise meanwhile. */
      outcome: 'recovered' | 'given-up' | 'stood-down';
      text: string;
    };
