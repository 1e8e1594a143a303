/** The OpenAI error object: all four keys are always present, null where there is nothing to say. */
import { ERROR_SPECS, type ErrorCode, type PlatformError } from '../../contract/errors.ts';

export interface OpenAiErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export function openAiError(code: ErrorCode, message: string, param: string | null = null): OpenAiErrorBody {
  return { error: { message, type: ERROR_SPECS[code].type, param, code } };
}

export function openAiErrorFrom(error: PlatformError): OpenAiErrorBody {
  return openAiError(error.code, error.message, error.param ?? null);
}
