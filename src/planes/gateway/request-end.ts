/** How an inference request ends, in words and headers: outcomes of errors, what of an engine's answer goes on, what to say of failed attempts. */
import { type ErrorCode, PlatformError } from '../../contract/errors.ts';
import type { ResponseHeaders } from './attempt.ts';
import type { AttemptEnd } from './attempt-end.ts';
import type { RequestRecord } from './request-record.ts';

/** What to say when no attempt is left and the engine said nothing itself. */
export function attemptsFailed(
  end: Extract<AttemptEnd, { kind: 'failed' }>,
  model: string,
  attempts: number,
): PlatformError {
  if (end.failure === 'connect-refused') {
    const message = `model "${model}": nothing answers at its replicas (${end.detail})`;
    return new PlatformError('no_replica', message, { retryAfterS: 5 });
  }
  const timeout =
    end.failure === 'first-token-timeout' ||
    end.failure === 'stall-timeout' ||
    end.failure === 'connect-timeout';
  return new PlatformError(
    timeout ? 'upstream_timeout' : 'engine_failed',
    `model "${model}": ${attempts} attempts failed; the last: ${end.failure} (${end.detail})`,
    { retryAfterS: 1 },
  );
}

/** Headers of an engine's answer that go on to the client. */
export function passedOn(status: number, headers: ResponseHeaders): Record<string, string> {
  const passed: Record<string, string> = {
    'content-type': String(headers['content-type'] ?? 'application/json'),
  };
  for (const name of ['retry-after', 'retry-after-ms', 'x-should-retry']) {
    const value = headers[name];
    if (typeof value === 'string') passed[name] = value;
  }
  // What an engine can not do it can not do a moment later either; SDKs would ask again.
  if (status === 501) passed['x-should-retry'] ??= 'false';
  return passed;
}

export function outcomeOf(code: ErrorCode, attempts: number): RequestRecord['outcome'] {
  switch (code) {
    case 'rate_limit_exceeded':
    case 'tokens_exceed_limit':
      return 'rejected-rate-limited';
    case 'saturated':
      return 'rejected-saturated';
    case 'no_replica':
      return 'rejected-no-replica';
    case 'queue_timeout':
      return 'expired-in-queue';
    case 'engine_failed':
    case 'stream_interrupted':
    case 'upstream_timeout':
      return 'failed-upstream';
    case 'internal':
    case 'shutting_down':
    case 'storage_unavailable':
    case 'storage_full':
      return 'failed-internal';
    default:
      return attempts === 0 ? 'rejected-invalid' : 'failed-by-engine';
  }
}
