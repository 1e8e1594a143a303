/**
 * A body of `POST /v1/responses`, checked and split into what the gateway acts on, what the engine is told (as fields of a
 * chat request) and what the response object repeats. The table in docs/reference/dialects-responses.md says the same in
 * words, and is tested against this.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { CanonicalMessage, CanonicalRequest } from '../canonical/chat-request.ts';
import { isRecord, parseJsonObject } from '../json/parse-object.ts';
import { writeJson } from '../json/write-json.ts';
import { type InputEntry, parseInput } from './input-items.ts';
import { optionalBoolean, optionalNumber, optionalString, refuseField } from './refuse-field.ts';
import { parseTools } from './tools.ts';

export interface ResponsesRequest {
  model: string;
  stream: boolean;
  /** Runs on when the client leaves, and is read later. */
  background: boolean;
  /** The response can be read and continued later. */
  store: boolean;
  previousResponseId: string | null;
  instructions: string | null;
  input: InputEntry[];
  /** Fields of the canonical request, and those that only an engine may know. */
  chat: Omit<CanonicalRequest, 'model' | 'messages' | 'stream' | 'stream_options'> & Record<string, unknown>;
  /** Fields of the response object that repeat the request. */
  echo: Record<string, unknown>;
}

/** What fields of this API become: of the canonical request, and of the response. */
interface Parsed {
  chat: Partial<CanonicalRequest>;
  echo: Record<string, unknown>;
}

/** State that we do not keep, or work that we do not do: refused, since leaving it out would change the answer. */
const NOT_OFFERED: Record<string, string> = {
  conversation: 'nothing: conversations are kept by previous_response_id',
  prompt: 'nothing: prompt templates are not kept here',
  context_management: 'nothing: the context is not managed here',
};

/** Fields that we act on, that are repeated, or that mean something to the vendor alone. */
const KNOWN = new Set([
  'access_programs',
  'background',
  'include',
  'input',
  'instructions',
  'max_output_tokens',
  'max_tool_calls',
  'metadata',
  'model',
  'moderation',
  'image',
  'parallel_tool_calls',
  'previous_response_id',
  'prompt_cache_key',
  'prompt_cache_options',
  'prompt_cache_retention',
  'reasoning',
  'safety_identifier',
  'service_tier',
  'store',
  'stream',
  'stream_options',
  'temperature',
  'text',
  'tool_choice',
  'tools',
  'top_logprobs',
  'top_p',
  'truncation',
  'user',
  ...Object.keys(NOT_OFFERED),
]);

/** Fields of chat that this API has under another name, or not at all. Passed on they would collide with what we write. */
const OF_CHAT: Record<string, string> = {
  messages: 'input',
  max_tokens: 'max_output_tokens',
  max_completion_tokens: 'max_output_tokens',
  response_format: 'text.format',
  reasoning_effort: 'reasoning.effort',
  verbosity: 'text.verbosity',
  logprobs: 'include with "message.output_text.logprobs"',
  functions: 'tools',
  function_call: 'tool_choice',
  n: 'one request for each answer',
  return_token_ids: 'chat completions',
  continue_final_message: 'chat completions',
  add_generation_prompt: 'chat completions',
};

const LOGPROBS = 'message.output_text.logprobs';
const METADATA_KEYS_MAX = 16;

/** Throws `invalid_json` or `invalid_request`. @param responseId of the response to be: ids of its items are made from it. */
export function parseResponsesRequest(bytes: Buffer, responseId: string): ResponsesRequest {
  const fields = parseJsonObject(bytes);
  for (const [name, expected] of Object.entries(NOT_OFFERED))
    if ((fields[name] ?? null) !== null) throw refuseField(name, fields[name], expected);
  for (const [name, instead] of Object.entries(OF_CHAT))
    if (fields[name] !== undefined)
      throw refuseField(name, fields[name], `no such field in this API; use ${instead}`);
  const { model } = fields;
  if (typeof model !== 'string' || model === '')
    throw refuseField('model', model, 'the name of a model; GET /v1/models lists them');
  const background = optionalBoolean(fields, 'background') ?? false;
  const store = optionalBoolean(fields, 'store') ?? true;
  if (background && !store)
    throw refuseField('store', false, 'true, since a background response is read from the store');
  const instructions = optionalString(fields, 'instructions');
  const previousResponseId = optionalString(fields, 'previous_response_id');
  const tools = parseTools(fields);
  const sampling = parseSampling(fields);
  const text = parseText(fields.text ?? null);
  const reasoning = parseReasoning(fields.reasoning ?? null);
  const echo = {
    background,
    instructions,
    metadata: parseMetadata(fields.metadata ?? {}),
    model,
    previous_response_id: previousResponseId,
    ...sampling.echo,
    ...text.echo,
    ...reasoning.echo,
    ...tools.echo,
    prompt_cache_key: fields.prompt_cache_key ?? null,
    safety_identifier: fields.safety_identifier ?? null,
    service_tier: 'default',
    store,
    // Engines do not shorten a conversation, so this is what is done whatever was asked for.
    truncation: parseTruncation(fields.truncation ?? null),
  };
  // Refuses here what the response could not repeat.
  writeJson('body', echo);
  return {
    model,
    stream: optionalBoolean(fields, 'stream') ?? false,
    background,
    store,
    previousResponseId,
    instructions,
    input: parseInput(fields.input ?? (previousResponseId === null ? undefined : []), responseId),
    chat: {
      ...unknownFields(fields),
      ...sampling.chat,
      ...text.chat,
      ...reasoning.chat,
      ...tools.chat,
    },
    echo,
  };
}

/** The canonical request, by which an engine is asked. A background response is always read as a stream, so that it can be continued. */
export function chatRequestOf(
  { model, chat, stream, background }: ResponsesRequest,
  messages: CanonicalMessage[],
): CanonicalRequest & Record<string, unknown> {
  return {
    ...chat,
    model,
    messages,
    ...((stream || background) && { stream: true, stream_options: { include_usage: true } }),
  };
}

/** What the engine may know and we do not: goes to it as it came. */
function unknownFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !KNOWN.has(name)));
}

function parseSampling(fields: Readonly<Record<string, unknown>>): Parsed {
  const temperature = optionalNumber(fields, 'temperature');
  const topP = optionalNumber(fields, 'top_p');
  const outputMax = optionalNumber(fields, 'max_output_tokens');
  const parallel = optionalBoolean(fields, 'parallel_tool_calls');
  const topLogprobs = optionalNumber(fields, 'top_logprobs');
  const toolCallsMax = optionalNumber(fields, 'max_tool_calls');
  const user = optionalString(fields, 'user');
  const logprobs = parseInclude(fields.include ?? []).includes(LOGPROBS) || (topLogprobs ?? 0) > 0;
  return {
    chat: {
      ...(temperature !== null && { temperature }),
      ...(topP !== null && { top_p: topP }),
      // Of the two names of chat, the one that every engine knows.
      ...(outputMax !== null && { max_tokens: outputMax }),
      ...(parallel !== null && { parallel_tool_calls: parallel }),
      ...(logprobs && { logprobs: true as const, top_logprobs: topLogprobs ?? 0 }),
      ...(user !== null && { user }),
    },
    echo: {
      temperature: temperature ?? 1,
      top_p: topP ?? 1,
      max_output_tokens: outputMax,
      max_tool_calls: toolCallsMax,
      parallel_tool_calls: parallel ?? true,
      top_logprobs: topLogprobs ?? 0,
      user,
    },
  };
}

function parseInclude(include: unknown): unknown[] {
  if (!Array.isArray(include)) throw refuseField('include', include, 'an array of names');
  for (const [index, name] of include.entries())
    if (typeof name !== 'string') throw refuseField(`include[${index}]`, name, 'a name');
  return include;
}

function parseText(text: unknown): Parsed {
  if (text !== null && !isRecord(text)) throw refuseField('text', text, 'an object');
  const format = text?.format ?? { type: 'text' };
  const verbosity = text?.verbosity ?? null;
  if (!isRecord(format)) throw refuseField('text.format', format, 'an object');
  if (verbosity !== null && typeof verbosity !== 'string')
    throw refuseField('text.verbosity', verbosity, '"low", "medium" or "high"');
  const echo = { text: { format, verbosity: verbosity ?? 'medium' } };
  const shared = verbosity === null ? {} : { verbosity };
  switch (format.type) {
    case 'text':
      return { chat: shared, echo };
    case 'json_object':
      return { chat: { ...shared, response_format: { type: 'json_object' } }, echo };
    case 'json_schema':
      return { chat: { ...shared, response_format: schemaFormat(format) }, echo };
    default:
      throw refuseField('text.format.type', format.type, '"text", "json_schema" or "json_object"');
  }
}

function schemaFormat({
  name,
  schema,
  strict = null,
  description = null,
}: Record<string, unknown>): NonNullable<CanonicalRequest['response_format']> {
  if (typeof name !== 'string') throw refuseField('text.format.name', name, 'a name');
  if (!isRecord(schema)) throw refuseField('text.format.schema', schema, 'a JSON Schema, which is an object');
  if (strict !== null && typeof strict !== 'boolean')
    throw refuseField('text.format.strict', strict, 'true or false');
  return {
    type: 'json_schema',
    json_schema: {
      name,
      schema,
      ...(strict !== null && { strict }),
      ...(description !== null && { description }),
    },
  };
}

function parseReasoning(reasoning: unknown): Parsed {
  if (reasoning !== null && !isRecord(reasoning)) throw refuseField('reasoning', reasoning, 'an object');
  const effort = reasoning?.effort ?? null;
  if (effort !== null && typeof effort !== 'string')
    throw refuseField('reasoning.effort', effort, 'a word such as "low"');
  return {
    chat: effort === null ? {} : { reasoning_effort: effort },
    echo: { reasoning: { effort, summary: null } },
  };
}

function parseMetadata(metadata: unknown): Record<string, unknown> {
  if (!isRecord(metadata)) throw refuseField('metadata', metadata, 'an object of texts');
  const entries = Object.entries(metadata);
  if (entries.length > METADATA_KEYS_MAX)
    throw refuseField('metadata', metadata, `at most ${METADATA_KEYS_MAX} keys`);
  for (const [name, value] of entries)
    if (typeof value !== 'string') throw refuseField(`metadata.${name}`, value, 'a string');
  return metadata;
}

function parseTruncation(truncation: unknown): 'disabled' {
  if (truncation !== null && truncation !== 'auto' && truncation !== 'disabled')
    throw refuseField('truncation', truncation, '"disabled" or "auto"');
  return 'disabled';
}

/** Throws `invalid_request` for a previous response that is gone. The vendor's code, which clients look for. */
export function previousNotFound(id: string): PlatformError {
  return new PlatformError(
    'previous_response_not_found',
    `Previous response with id '${id.slice(0, 100)}' not found: it was never stored, has expired or was deleted.`,
    { param: 'previous_response_id' },
  );
}
