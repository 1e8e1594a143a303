/**
 * What a KServe server says when it refuses, as an error of ours: the status decides, and for the faults of requests that
 * engines report as faults of their own, the wording.
 */
import { type ErrorCode, PlatformError } from '../../contract/errors.ts';
import { isRecord } from '../json/parse-object.ts';

const MESSAGE_CHARS_MAX = 1000;

/**
 * Triton's backends raise what the caller did wrong as their own failure (500). Counted as such, a bad request would be
 * tried on every replica and speak against each.
 */
const CALLERS_FAULTS: readonly (readonly [pattern: RegExp, code: ErrorCode])[] = [
  [/longer than the maximum model length/i, 'context_length_exceeded'],
  [/exceeds? (the )?max(imum)? (input|sequence|model|context) len/i, 'context_length_exceeded'],
  // What the vLLM backend says when it could not read the sampling parameters.
  [/'NoneType' object has no attribute 'lora_name'/, 'invalid_request'],
  [
    /\b(temperature|top_p|top_k|min_p|max_tokens|min_tokens|\w+_penalty|logprobs|stop)\b.{0,40} must be /i,
    'invalid_request',
  ],
];

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  408: 'upstream_timeout',
  413: 'body_too_large',
  422: 'invalid_request',
  429: 'saturated',
  501: 'not_supported',
  503: 'engine_full',
  504: 'upstream_timeout',
};

/** @param status of HTTP; for gRPC by `httpStatusOf`. */
export function engineError(status: number, message: string): PlatformError {
  const text = `the engine says: ${message.slice(0, MESSAGE_CHARS_MAX) || `status ${status}`}`;
  if (status === 400 || status >= 500) {
    for (const [pattern, code] of CALLERS_FAULTS)
      if (pattern.test(message)) return new PlatformError(code, text);
  }
  // 404 too: the gateway sends a model only to replicas that were ready with it. And a key that the engine refuses is ours.
  return new PlatformError(BY_STATUS[status] ?? 'engine_failed', text);
}

/** `{"error": "..."}`, or whatever stands there instead. */
export function errorMessageIn(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    const error = isRecord(value) ? value.error : undefined;
    if (typeof error === 'string') return error;
  } catch {
    // Not JSON: a proxy between us and the engine.
  }
  return body.slice(0, MESSAGE_CHARS_MAX);
}

/** The codes of gRPC as the statuses that Triton's HTTP side gives for the same errors, or the usual ones. */
const HTTP_STATUS_OF_GRPC: Readonly<Record<number, number>> = {
  1: 500, // cancelled, and not by us
  2: 500, // unknown
  3: 400, // invalid argument
  4: 504, // deadline exceeded
  5: 404, // not found
  6: 409, // already exists
  7: 403, // permission denied
  8: 429, // resource exhausted
  9: 400, // failed precondition
  10: 500, // aborted
  11: 400, // out of range
  12: 501, // unimplemented
  13: 500, // internal
  14: 503, // unavailable
  15: 500, // data loss
  16: 401, // unauthenticated
};

export function httpStatusOf(grpcCode: number): number {
  return HTTP_STATUS_OF_GRPC[grpcCode] ?? 500;
}
