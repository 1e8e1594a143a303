/**
 * Errors in the vendor's shape: `{"type":"error","error":{"type","message"},"request_id"}`, with its status and its types.
 * One rule for errors of the platform and those that an engine gave, before an answer and inside a stream.
 */
import { ERROR_SPECS, type ErrorCode, type PlatformError } from '../../contract/errors.ts';
import { type CanonicalError, readErrorAnswer } from '../canonical/chat-error.ts';
import { openAiErrorFrom } from '../openai/error-object.ts';

export interface AnthropicError {
  type: 'error';
  error: { type: string; message: string };
  request_id: string;
}

export interface ErrorAnswer {
  status: number;
  body: AnthropicError;
  headers: Record<string, string>;
}

/** "All places are taken, or none is there": what the vendor calls overloaded. */
const OVERLOADED: readonly ErrorCode[] = [
  'saturated',
  'queue_timeout',
  'no_replica',
  'engine_full',
  'shutting_down',
];
const OVERLOADED_STATUS = 529;

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

export function errorAnswerFrom(error: PlatformError, requestId: string): ErrorAnswer {
  const { message } = openAiErrorFrom(error).error;
  return answerOf(
    { message, code: error.code, type: null, status: error.spec.status },
    error.spec.status,
    requestId,
  );
}

/** An answer of the OpenAI dialect, or of an engine, with a status of 400 or more. */
export function translateErrorAnswer(status: number, body: Buffer, requestId: string): ErrorAnswer {
  return answerOf(readErrorAnswer(status, body), status, requestId);
}

/** What `event: error` carries. */
export function errorObject(error: CanonicalError, requestId: string): AnthropicError {
  const status = vendorStatus(error.code, error.status ?? statusOfCode(error.code) ?? 500);
  return {
    type: 'error',
    error: { type: typeOf(status), message: error.message },
    request_id: requestId,
  };
}

function answerOf(error: CanonicalError, status: number, requestId: string): ErrorAnswer {
  const known = isErrorCode(error.code) ? ERROR_SPECS[error.code] : null;
  const answered = vendorStatus(error.code, status);
  return {
    status: answered,
    body: errorObject({ ...error, status: answered }, requestId),
    // The SDKs send every 5xx and 409 again, unless told not to.
    headers: known === null ? {} : { 'x-should-retry': String(known.retryable) },
  };
}

function vendorStatus(code: string | null, status: number): number {
  const overloaded = status === 503 || (isErrorCode(code) && OVERLOADED.includes(code));
  return overloaded ? OVERLOADED_STATUS : status;
}

function statusOfCode(code: string | null): number | null {
  return isErrorCode(code) ? ERROR_SPECS[code].status : null;
}

function isErrorCode(code: string | null): code is ErrorCode {
  return code !== null && Object.hasOwn(ERROR_SPECS, code);
}

function typeOf(status: number): string {
  return TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
}
