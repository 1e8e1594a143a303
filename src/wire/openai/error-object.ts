/** The OpenAI error object: all four keys are always present, null where there is nothing to say. */

import { ERROR_SPECS, type ErrorCode, type PlatformError } from '../../contract/errors.ts';
import { isRecord } from '../json/parse-object.ts';

export interface OpenAiErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export function openAiError(code: ErrorCode, message: string, param: string | null = null): OpenAiErrorBody {
  return { error: { message, type: ERROR_SPECS[code].type, param, code } };
}

export function openAiErrorFrom(error: PlatformError): OpenAiErrorBody {
  // The message of a bug may quote anything; it goes to the log, under the request id that the client sees too.
  if (error.code === 'internal')
    return openAiError('internal', 'internal error; the x-request-id of this answer finds it in the log');
  return openAiError(error.code, error.message, error.param ?? null);
}

const BODY_CHARS_SHOWN = 500;

/** An engine's answer with an error status as the error event of a stream: its own error object, or its words in one. */
export function errorEventOf(status: number, body: Buffer): object {
  const text = body.toString('utf8');
  try {
    const parsed: unknown = JSON.parse(text);
    if (isRecord(parsed) && isRecord(parsed.error)) return parsed;
  } catch {
    // Not JSON: shown as text.
  }
  const message =
    text.trim() === '' ? `the engine answered with HTTP ${status}` : text.slice(0, BODY_CHARS_SHOWN);
  return {
    error: {
      message,
      type: status < 500 ? 'invalid_request_error' : 'upstream_error',
      param: null,
      code: status,
    },
  };
}
