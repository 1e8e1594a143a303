/** Errors of the OpenAI dialect and of engines, in a stream or as a body, in one form for all dialects. */
import { isRecord } from '../json/parse-object.ts';
import { numberFrom } from '../json/scalars.ts';

export interface CanonicalError {
  message: string;
  /** A code of our error table, or the engine's own word; null when there is none. */
  code: string | null;
  /** OpenAI's kind of error, such as `invalid_request_error`, or the engine's own; null when there is none. */
  type: string | null;
  /** HTTP status where the error says one. */
  status: number | null;
}

/** The error in an OpenAI error object, or in the shapes that engines use instead; null when there is none. */
export function readError(body: Record<string, unknown>): CanonicalError | null {
  const { error = null } = body;
  if (typeof error === 'string') return { message: error, code: null, type: null, status: null };
  // vLLM before 0.10 sends the error without a frame.
  if (error === null && body.object !== 'error') return null;
  const { message, code, type, status_code } = isRecord(error) ? error : error === null ? body : {};
  const status = [code, status_code].map(numberFrom).find((value) => value >= 400 && value < 600);
  return {
    message: typeof message === 'string' ? message : 'the engine reported an error',
    code: typeof code === 'string' ? code : null,
    type: typeof type === 'string' ? type : null,
    status: status ?? null,
  };
}

/** An answer with a status of 400 or more. */
export function readErrorAnswer(status: number, body: Buffer): CanonicalError {
  const error = errorIn(body);
  const message = `the engine answered with status ${status}`;
  return error === null
    ? { message, code: null, type: null, status }
    : { ...error, status: error.status ?? status };
}

function errorIn(body: Buffer): CanonicalError | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
  if (!isRecord(parsed)) return null;
  const error = readError(parsed);
  if (error !== null || parsed.detail === undefined) return error;
  // FastAPI's own refusals.
  return { message: JSON.stringify(parsed.detail), code: null, type: null, status: null };
}
