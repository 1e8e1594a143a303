/**
 * What the gateway needs to know of an inference request, and no more; the body itself goes on as it came.
 * Validates only what routing and continuation depend on: the engine knows its own fields best.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { ExtraEndpoint } from '../../contract/fleet.ts';
import { isRecord, parseJsonObject, showFound } from '../json/parse-object.ts';

export type InferenceEndpoint = 'chat' | 'completions' | 'embeddings' | ExtraEndpoint;

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
  /** What it has in common with itself when it is sent again, where that is not its bytes. */
  ticket?: string;
}

export function parseEnvelope(endpoint: InferenceEndpoint, bytes: Buffer): Envelope {
  const fields = parseJsonObject(bytes);
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
  // vLLM embeds chats too.
  if (endpoint === 'embeddings' && fields.input === undefined && fields.messages === undefined) {
    throw invalid('input', undefined, 'a string or an array of strings');
  }
  return {
    endpoint,
    model,
    stream: stream && (endpoint === 'chat' || endpoint === 'completions'),
    includeUsage: isRecord(streamOptions) && streamOptions.include_usage === true,
    fields,
    bytes,
  };
}

function invalid(param: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${expected}`, {
    param,
  });
}
