/**
 * What the gateway needs to know of an inference request, and no more; the body itself goes on as it came.
 * Validates only what routing and continuation depend on: the engine knows its own fields best.
 */
import { isUtf8 } from 'node:buffer';
import { PlatformError } from '../../contract/errors.ts';

export type InferenceEndpoint = 'chat' | 'completions' | 'embeddings';

export interface Envelope {
  endpoint: InferenceEndpoint;
  /** As the client named it. */
  model: string;
  stream: boolean;
  /** The client asked for a usage event at the end of the stream. */
  includeUsage: boolean;
  /** The parsed body. Never written to. */
  fields: Readonly<Record<string, unknown>>;
  bytes: Buffer;
}

export function parseEnvelope(endpoint: InferenceEndpoint, bytes: Buffer): Envelope {
  const fields = parseObject(bytes);
  const model = fields.model;
  if (typeof model !== 'string' || model === '') {
    throw invalid('model', model, 'the name of a model; GET /v1/models lists them');
  }
  const stream = fields.stream ?? false;
  if (typeof stream !== 'boolean') throw invalid('stream', stream, 'true or false');
  const streamOptions = fields.stream_options ?? null;
  if (streamOptions !== null && !isRecord(streamOptions))
    throw invalid('stream_options', streamOptions, 'an object');
  if (endpoint === 'chat' && !Array.isArray(fields.messages)) {
    throw invalid('messages', fields.messages, 'an array of messages');
  }
  if (endpoint === 'completions' && fields.prompt === undefined) {
    throw invalid('prompt', undefined, 'a string, an array of strings or an array of token ids');
  }
  if (endpoint === 'embeddings' && fields.input === undefined) {
    throw invalid('input', undefined, 'a string or an array of strings');
  }
  return {
    endpoint,
    model,
    stream: stream && endpoint !== 'embeddings',
    includeUsage: isRecord(streamOptions) && streamOptions.include_usage === true,
    fields,
    bytes,
  };
}

function parseObject(bytes: Buffer): Record<string, unknown> {
  if (bytes.length === 0)
    throw new PlatformError('invalid_json', 'the body is empty; a JSON object was expected');
  if (!isUtf8(bytes)) throw new PlatformError('invalid_json', 'the body is not valid UTF-8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new PlatformError('invalid_json', `the body is not valid JSON: ${(error as Error).message}`);
  }
  if (!isRecord(parsed)) {
    throw new PlatformError('invalid_json', `the body is ${describe(parsed)}; a JSON object was expected`);
  }
  return parsed;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(param: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${describe(found)}; expected ${expected}`, {
    param,
  });
}

/** A found value in an error message: short, and its type where the value would not help. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isRecord(value)) return 'an object';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
