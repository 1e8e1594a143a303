/**
 * What a diagnosis is made from: a window of observations of one engine, in the supervisor's words. All of it is optional, and
 * what is missing is unknown, never fine. Times are milliseconds of one clock.
 */
import type { FaultClass } from '../../contract/faults.ts';
import type { ReadinessRung } from '../../contract/ports/engine-driver.ts';
import type { ProcessExit } from '../../contract/ports/process-host.ts';
import type { GpuFacts, ProcessFacts } from '../../contract/signals.ts';
import type { AttemptReading } from './log-scan.ts';

export interface SignalWindow {
  nowMs: number;
  /** Kind of engine, where it is known. */
  engine?: string;
  phase?: 'starting' | 'serving';
  /** How long the start has lasted, and how long it may. */
  start?: { elapsedMs: number; budgetMs: number };
  /** Of the present attempt. */
  log?: AttemptReading;
  /** Lines of the kernel, since the engine was started. */
  kernelLog?: AttemptReading;
  exit?: { exit: ProcessExit; asked: boolean };
  /** Growth of the `oom_kill` counter of the engine's cgroup since its start; null: it cannot be read. */
  oomKills?: number | null;
  metrics?: readonly MetricSample[];
  probes?: readonly ProbeSample[];
  /** What the gateways see of this engine. */
  flow?: readonly FlowSample[];
  /** Resident memory of the process tree. */
  rss?: readonly Point[];
  memoryLimitBytes?: number;
  gpus?: readonly GpuFacts[];
  processes?: ProcessFacts;
  /** Requests that were in flight at the end of the window. */
  inFlight?: readonly InFlightRequest[];
  /** Latest last. */
  incidents?: readonly PastIncident[];
  capacity?: Capacity;
  /** How long stillness is borne at least, and where the speed of reading prompts was never measured. */
  patience?: { floorMs: number; unmeasuredMs: number };
  answers?: AnswerFacts;
  /** Of a data or expert parallel group: how many ranks there should be, and how many make steps. */
  ranks?: { expected: number; stepping: number };
  /** Whether cache blocks come from another process, and how many requests wait for them. */
  connector?: { waiting: number };
  /** Other replicas of the host that are not ready, of all. */
  host?: { replicas: number; notReady: number };
  gateway?: { eventLoopDelayP99Ms: number; replicas: number; silentReplicas: number };
  shmFreeBytes?: number;
  latencyPerToken?: readonly Point[];
  errorRate?: readonly Point[];
}

export interface Point {
  atMs: number;
  value: number;
}

/** One reading of the engine's metrics, or the failure to get it. */
export type MetricSample =
  | {
      atMs: number;
      ok: true;
      /** Grows with every step. */
      progressCount?: number;
      /** Where the engine says its speed instead of a counter. */
      tokensPerS?: number;
      /** The reading itself is the proof of a step: engines that print a line for a batch. */
      stepped?: boolean;
      running?: number;
      waiting?: number;
      kvRatio?: number;
      preemptionsTotal?: number;
      completedTotal?: number;
    }
  | { atMs: number; ok: false };

export interface ProbeSample {
  atMs: number;
  rung: ReadinessRung | 'slots';
  ok: boolean;
  latencyMs: number;
  /** `refused`: nobody listens. `timeout`: saturated, slow or dead. */
  why?: 'timeout' | 'refused' | 'error';
}

export interface FlowSample {
  atMs: number;
  inFlight: number;
  /** Tokens received from the engine; grows. */
  tokensTotal: number;
  /** How long before the sample the last of them came. Default: with the sample. */
  sinceTokenMs?: number;
  /** Streams without a token for longer than the gateway allows. */
  silentStreams?: number;
}

export interface InFlightRequest {
  fingerprint: string;
  promptTokens: number;
  maxTokens?: number;
  /** It has received a token. */
  answered?: boolean;
}

export interface PastIncident {
  atMs: number;
  replica: string;
  class: FaultClass | 'unknown' | 'none';
  duringStart: boolean;
  fingerprints?: readonly string[];
}

export interface Capacity {
  /** Measured on this engine. */
  prefillTokensPerS?: number;
  /** The longest prompt that is legal. */
  promptTokensMax?: number;
  kvCapacityTokens?: number;
  /** Between two tokens of a stream, when all is well. */
  gapP99Ms?: number;
  stepMs?: number;
  /** Of equal replicas, this one not among them. */
  peerStepsMs?: readonly number[];
}

export interface AnswerFacts {
  /** 200 without a token and without a reason to finish. */
  emptySuccesses?: number;
  /** 404 or 503 to first requests after it said that it was ready. */
  refusedAfterReady?: number;
  /** Answers with NaN or one token repeated. */
  corrupted?: number;
  canary?: 'passed' | 'wrong' | 'no-answer';
}
