/**
 * One line of a batch's input: `{"custom_id", "method", "url", "body"}`. The body goes to the engine as it stands in the file,
 * byte for byte.
 */
import { isUtf8 } from 'node:buffer';
import { isRecord, showFound } from '../../json/parse-object.ts';
import { topLevelSpans } from '../../json/top-level-span.ts';

/** Paths that lines may be sent to. */
export const BATCH_ENDPOINTS = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
] as const;

export interface InputLine {
  customId: string;
  model: string;
  /** The JSON of `body`. */
  body: Buffer;
}

export interface LineProblem {
  code: string;
  message: string;
  param: string | null;
}

const CUSTOM_ID_CHARACTERS_MAX = 512;

export function readInputLine(bytes: Buffer, endpoint: string): InputLine | { problem: LineProblem } {
  const parsed = parse(bytes);
  if (typeof parsed === 'string') return problem('invalid_json_line', parsed, null);
  const { custom_id: customId, method, url, body } = parsed;
  if (customId === undefined || customId === null || customId === '')
    return problem('missing_required_parameter', 'custom_id is missing', 'custom_id');
  if (typeof customId !== 'string' || customId.length > CUSTOM_ID_CHARACTERS_MAX)
    return wrong('custom_id', customId, `a string of at most ${CUSTOM_ID_CHARACTERS_MAX} characters`);
  if (method !== 'POST') return problem('invalid_method', expected('method', method, '"POST"'), 'method');
  if (url !== endpoint)
    return problem('mismatched_endpoint', expected('url', url, `"${endpoint}", as the batch`), 'url');
  if (!isRecord(body)) return wrong('body', body, 'the object of a request');
  if (typeof body.model !== 'string' || body.model === '')
    return wrong('body.model', body.model, 'the name of a model');
  if (body.stream !== undefined && body.stream !== null && body.stream !== false)
    return wrong('body.stream', body.stream, 'false: lines of a batch are not streamed');
  if (body.background !== undefined && body.background !== null && body.background !== false)
    return wrong('body.background', body.background, 'false: a batch runs in the background as a whole');
  // JSON.parse takes the last of several keys; what is sent must be what was checked.
  const span = topLevelSpans(bytes, 'body').at(-1);
  if (span === undefined) return wrong('body', undefined, 'the object of a request');
  return { customId, model: body.model, body: bytes.subarray(span.start, span.end) };
}

function parse(bytes: Buffer): Record<string, unknown> | string {
  if (!isUtf8(bytes)) return 'this line is not valid UTF-8';
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isRecord(value) ? value : `this line is ${showFound(value)}; expected a JSON object`;
  } catch (error) {
    return `this line is not valid JSON: ${(error as Error).message.slice(0, 200)}`;
  }
}

function wrong(param: string, found: unknown, right: string): { problem: LineProblem } {
  return problem('invalid_request', expected(param, found, right), param);
}

function expected(param: string, found: unknown, right: string): string {
  return `${param}: found ${showFound(found)}; expected ${right}`;
}

function problem(code: string, message: string, param: string | null): { problem: LineProblem } {
  return { problem: { code, message, param } };
}
