/**
 * The log line of a request: JSON with ECS names where ECS has them (Elastic Common Schema 8); no prompt, no key, no raw path.
 * Written piece by piece: one line per request is on the hot path, and a general serializer takes ten times as long.
 */
import type { RequestRecord } from './request-record.ts';

export function logLine(record: RequestRecord, endedMs: number): string {
  return (
    `{"@timestamp":"${timestampOf(record.startedWallMs)}","log.level":"${isFailure(record) ? 'error' : 'info'}"` +
    `,"message":"request","event.duration":${Math.round((endedMs - record.startedMs) * 1e6)}` +
    `,"http.request.id":${quoted(record.requestId)},"http.request.method":${named(record.method)}` +
    `,"http.route":${named(record.route)},"http.response.status_code":${record.status}` +
    `,"http.request.body.bytes":${record.bytesIn},"http.response.body.bytes":${record.bytesOut}` +
    `,"outcome":"${record.outcome}","error_code":${named(record.errorCode)}${limitedBy(record)}` +
    `,"key":${named(record.keyName)}${record.filler ? ',"filler":true' : ''}` +
    `,"model":${named(record.model)},"fallback":${named(record.fallback)},"stream":${record.stream}` +
    `${record.cache === null ? '' : `,"cache":"${record.cache}"`}${inBatch(record)},"replica":${named(record.replica)}` +
    `,"attempts":${record.attempts},"client_retries":${record.clientRetries}` +
    `,"continuations":${record.continuations},"tier":${named(record.tier)}` +
    `,"gap_ms":${rounded(record.continuationGapMs)},"queue_ms":${rounded(record.queuedMs)}` +
    `,"ttft_ms":${rounded(record.firstTokenMs)},"prompt_tokens":${record.promptTokens}` +
    `,"completion_tokens":${record.completionTokens},"completion_tokens_estimated":${record.estimatedTokens}}\n`
  );
}

function limitedBy({ limited }: RequestRecord): string {
  return limited === null ? '' : `,"limited_by":"${limited.scope}/${limited.kind}"`;
}

function inBatch({ batch }: RequestRecord): string {
  return batch === null ? '' : `,"batch_size":${batch.size},"batch_wait_ms":${rounded(batch.waitMs)}`;
}

/** A stream that broke had status 200. */
function isFailure({ status, outcome }: RequestRecord): boolean {
  return status >= 500 || outcome === 'failed-upstream' || outcome === 'failed-internal';
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}

let second = Number.NaN;
let secondText = '';

/** Most requests begin in the same second as the one before. */
function timestampOf(wallMs: number): string {
  const whole = Math.floor(wallMs / 1_000);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1_000).toISOString().slice(0, 20);
  }
  const ms = Math.floor(wallMs - whole * 1_000);
  return `${secondText}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
}

const NEEDS_ESCAPE = /[^\x20-\x7e]|["\\]/;

function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** Names that are configured, of which there are few. */
const known = new Map<string | null, string>([[null, 'null']]);
const KNOWN_MAX = 1_000;

function named(name: string | null): string {
  let text = known.get(name);
  if (text !== undefined) return text;
  text = quoted(name as string);
  if (known.size < KNOWN_MAX) known.set(name, text);
  return text;
}
