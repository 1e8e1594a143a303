/** The OpenAI error object: all four keys are always present, null where there is nothing to say. */
import { ERROR_SPECS, type ErrorCode, type PlatformError } from '../../contract/errors.ts';

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
