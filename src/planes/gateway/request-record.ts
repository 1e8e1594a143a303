/**
 * What is known of one request, filled in on its way and settled exactly once: one log line, the counters, the facts.
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
}

export function newRecord(
  seed: Pick<RequestRecord, 'requestId' | 'method' | 'route' | 'startedWallMs' | 'startedMs'> &
    Partial<Pick<RequestRecord, 'clientRetries' | 'clientTimeoutMs' | 'dialect'>>,
): RequestRecord {
  return {
    clientRetries: 0,
    clientTimeoutMs: null,
    dialect: 'openai',
    ...seed,
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
  };
}

/** One JSON line with ECS names where ECS has them (Elastic Common Schema 8); no prompt, no key, no raw path. */
export function logLine(record: RequestRecord, endedMs: number): string {
  return `${JSON.stringify({
    '@timestamp': new Date(record.startedWallMs).toISOString(),
    'log.level': isFailure(record) ? 'error' : 'info',
    message: 'request',
    'event.duration': Math.round((endedMs - record.startedMs) * 1e6),
    'http.request.id': record.requestId,
    'http.request.method': record.method,
    'http.route': record.route,
    'http.response.status_code': record.status,
    'http.request.body.bytes': record.bytesIn,
    'http.response.body.bytes': record.bytesOut,
    outcome: record.outcome,
    error_code: record.errorCode,
    limited_by: record.limited === null ? undefined : `${record.limited.scope}/${record.limited.kind}`,
    key: record.keyName,
    filler: record.filler || undefined,
    model: record.model,
    fallback: record.fallback,
    stream: record.stream,
    cache: record.cache ?? undefined,
    batch_size: record.batch?.size,
    batch_wait_ms: record.batch === null ? undefined : rounded(record.batch.waitMs),
    replica: record.replica,
    attempts: record.attempts,
    client_retries: record.clientRetries,
    continuations: record.continuations,
    tier: record.tier,
    gap_ms: rounded(record.continuationGapMs),
    queue_ms: rounded(record.queuedMs),
    ttft_ms: rounded(record.firstTokenMs),
    prompt_tokens: record.promptTokens,
    completion_tokens: record.completionTokens,
    completion_tokens_estimated: record.estimatedTokens,
  })}\n`;
}

/** A stream that broke had status 200. */
function isFailure({ status, outcome }: RequestRecord): boolean {
  return status >= 500 || outcome === 'failed-upstream' || outcome === 'failed-internal';
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}
