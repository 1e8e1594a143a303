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

const PASSED_ON_REFUSALS = ['retry-after', 'retry-after-ms', 'x-should-retry'];

/** Adds what of an engine's answer goes on to the client. */
export function passOn(status: number, from: ResponseHeaders, to: Record<string, string>): void {
  to['content-type'] = String(from['content-type'] ?? 'application/json');
  if (status < 400) return;
  for (const name of PASSED_ON_REFUSALS) {
    const value = from[name];
    if (typeof value === 'string') to[name] = value;
  }
  // What an engine can not do it can not do a moment later either; SDKs would ask again.
  if (status === 501) to['x-should-retry'] ??= 'false';
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
