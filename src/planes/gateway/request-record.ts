/**
 * What is known of one request, filled in on its way and settled exactly once: one log line (request-log.ts), the counters, the facts.
 */
import type { ContinuationTier } from '../../contract/continuation.ts';
import type { ErrorCode } from '../../contract/errors.ts';
import type { LimitKind, LimitScope } from '../../contract/limits.ts';
import type { RequestOutcome } from '../../contract/outcomes.ts';
import { ANYBODY, type Caller } from './caller.ts';
import type { ErrorDialect } from './error-dialect.ts';
import type { LimitHold } from './limits/limit-hold.ts';

export interface RequestRecord {
  requestId: string;
  method: string;
  /** Route template, never the raw path. */
  route: string;
  startedWallMs: number;
  startedMs: number;
  /** Times that the client has sent this request before. */
  clientRetries: number;
  /** How long after its request the client gives up; null when it did not say. */
  clientTimeoutMs: number | null;
  keyName: string | null;
  caller: Caller;
  /** What its client speaks. */
  dialect: ErrorDialect;
  /** What it has of the limits that it meets; null when it meets none. */
  hold: LimitHold | null;
  /** The limit that it was refused for. */
  limited: { scope: LimitScope; kind: LimitKind } | null;
  /** The caller may see how requests are shared out. */
  mayExplain: boolean;
  /** A line of a batch: it waits while clients are served. */
  filler: boolean;
  model: string | null;
  /** Pool that served instead of the one that was named. */
  fallback: string | null;
  stream: boolean;
  /** What the response cache had to do with it; `joined`: it was given the answer to a request that ran. Null: nothing. */
  cache: 'hit' | 'joined' | 'similar' | 'miss' | 'bypass' | null;
  /** Sent to the engine with others: how many in all, and how long it waited for them. Null: alone. */
  batch: { size: number; waitMs: number } | null;
  bytesIn: number;
  bytesOut: number;
  /** Status that the client saw; 0 when it saw none. */
  status: number;
  outcome: RequestOutcome;
  errorCode: ErrorCode | null;
  replica: string | null;
  /** Why that replica, or why the caller is not told; null: nobody asked. */
  explanation: string | null;
  attempts: number;
  continuations: number;
  tier: ContinuationTier | null;
  queuedMs: number;
  firstTokenMs: number | null;
  promptTokens: number | null;
  completionTokens: number | null;
  /** Events that carried something, where the engine did not report usage; null where it did. */
  estimatedTokens: number | null;
  /** Longest gap between two reads that a failover caused, ms. */
  continuationGapMs: number | null;
  /** Where its last failed attempt was; null: none failed. */
  failedAt: { replica: string; generation: number } | null;
}

/** Every field is written out: a copy of `seed` would cost more than all else that is done here. */
export function newRecord(
  seed: Pick<RequestRecord, 'requestId' | 'method' | 'route' | 'startedWallMs' | 'startedMs'> &
    Partial<Pick<RequestRecord, 'clientRetries' | 'clientTimeoutMs' | 'dialect'>>,
): RequestRecord {
  return {
    requestId: seed.requestId,
    method: seed.method,
    route: seed.route,
    startedWallMs: seed.startedWallMs,
    startedMs: seed.startedMs,
    clientRetries: seed.clientRetries ?? 0,
    clientTimeoutMs: seed.clientTimeoutMs ?? null,
    dialect: seed.dialect ?? 'openai',
    keyName: null,
    caller: ANYBODY,
    hold: null,
    limited: null,
    mayExplain: false,
    filler: false,
    model: null,
    fallback: null,
    stream: false,
    cache: null,
    batch: null,
    bytesIn: 0,
    bytesOut: 0,
    status: 0,
    outcome: 'failed-internal',
    errorCode: null,
    replica: null,
    explanation: null,
    attempts: 0,
    continuations: 0,
    tier: null,
    queuedMs: 0,
    firstTokenMs: null,
    promptTokens: null,
    completionTokens: null,
    estimatedTokens: null,
    continuationGapMs: null,
    failedAt: null,
  };
}
