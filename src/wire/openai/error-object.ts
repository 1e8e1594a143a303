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
  return ownError(text) ?? errorFromWords(status, text);
}

/** The same as the body of an answer: its own bytes when they are an error object. */
export function errorAnswerOf(status: number, body: Buffer): Buffer | string {
  const text = body.toString('utf8');
  return ownError(text) === null ? JSON.stringify(errorFromWords(status, text)) : body;
}

function ownError(text: string): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return isRecord(parsed) && isRecord(parsed.error) ? parsed : null;
  } catch {
    return null;
  }
}

function errorFromWords(status: number, text: string): object {
  const said = text.trim();
  const message =
    said === '' || said === '{}'
      ? `the engine answered with HTTP ${status}`
      : text.slice(0, BODY_CHARS_SHOWN);
  return { error: { message, type: typeOfStatus(status), param: null, code: status } };
}

function typeOfStatus(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'upstream_error';
}
