/** Answers that the gateway gives itself: JSON bodies and error objects, with the headers that every answer has. */
import type { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { errorAnswerFrom } from '../../wire/anthropic/error-object.ts';
import { openAiErrorFrom } from '../../wire/openai/error-object.ts';
import { EXPLAIN_HEADER } from './caller.ts';
import type { ErrorDialect } from './error-dialect.ts';
import type { RequestRecord } from './request-record.ts';

interface ErrorAnswer {
  status: number;
  body: object;
  headers?: Record<string, string>;
}

const ERROR_ANSWERS: Record<ErrorDialect, (error: PlatformError, requestId: string) => ErrorAnswer> = {
  openai: (error) => ({ status: error.spec.status, body: openAiErrorFrom(error) }),
  anthropic: (error, requestId) => {
    const answer = errorAnswerFrom(error, requestId);
    return { ...answer, headers: { ...answer.headers, 'request-id': requestId } };
  },
};
const JSON_TYPE = { 'content-type': 'application/json' };

/** Headers of every answer to an inference request. The replica and the number of attempts are no secret; its address is. */
export function answerHeaders(record: RequestRecord): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': record.requestId };
  if (record.replica !== null) headers['x-autoglm-replica'] = headerText(record.replica);
  if (record.attempts > 1) headers['x-autoglm-attempts'] = String(record.attempts);
  if (record.fallback !== null) headers['x-autoglm-fallback'] = headerText(record.fallback);
  if (record.explanation !== null) headers[EXPLAIN_HEADER] = headerText(record.explanation);
  if (record.hold !== null) Object.assign(headers, record.hold.headers(record.dialect));
  return headers;
}

/** Models may have names that no header can hold; these are percent-encoded. */
function headerText(text: string): string {
  return NO_HEADER_TEXT.test(text) ? encodeURIComponent(text.toWellFormed()) : text;
}

const NO_HEADER_TEXT = /[^\x20-\x7e]/;

export function respondJson(
  exchange: HttpExchange,
  record: RequestRecord,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify(body);
  record.status = status;
  record.outcome = 'completed';
  record.bytesOut = text.length;
  exchange.send(status, { ...JSON_TYPE, 'x-request-id': record.requestId, ...headers }, text);
}

/** SDKs repeat these by themselves. */
function repeatedBySdks(status: number): boolean {
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

/** When to come again, to the millisecond for SDKs that read it; and not at all, where SDKs would for nothing. */
function retryHeaders({ retryAfterS, spec }: PlatformError): Record<string, string> {
  if (!spec.retryable) return repeatedBySdks(spec.status) ? { 'x-should-retry': 'false' } : {};
  if (retryAfterS === undefined) return {};
  return {
    'retry-after': String(Math.ceil(retryAfterS)),
    'retry-after-ms': String(Math.round(retryAfterS * 1000)),
  };
}

/** In the shape of `dialect`; the request loop always writes `openai`, which a translated exchange turns into the client's. */
export function respondError(
  exchange: HttpExchange,
  error: PlatformError,
  record: RequestRecord,
  dialect: ErrorDialect,
): void {
  const answer = ERROR_ANSWERS[dialect](error, record.requestId);
  const headers: Record<string, string> = {
    ...JSON_TYPE,
    ...answerHeaders(record),
    ...retryHeaders(error),
    ...answer.headers,
  };
  if (error.allow !== undefined) headers.allow = error.allow.join(', ');
  if (error.spec.status === 401) headers['www-authenticate'] = 'Bearer';
  const text = JSON.stringify(answer.body);
  record.status = answer.status;
  record.bytesOut = text.length;
  exchange.send(answer.status, headers, text);
}
