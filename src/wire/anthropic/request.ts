/**
 * `POST /v1/messages`, as a canonical request. Pure. Throws nothing but PlatformError `invalid_request`. Fields that the
 * Messages API does not have go to the engine as they are, unless the translation sets them itself; what is lost is in
 * docs/reference/dialects.md, row by row.
 */
import type { CanonicalMessage, CanonicalRequest, RequestTraits } from '../canonical/chat-request.ts';
import { translateMessages } from './messages.ts';
import {
  arrayAt,
  booleanAt,
  type Fields,
  isSet,
  nameAt,
  numberAt,
  recordAt,
  refuse,
  refuseUse,
  stringAt,
} from './request-fields.ts';
import { type ThinkingDisplay, translateThinking } from './thinking.ts';
import { translateTools } from './tools.ts';

export interface TranslatedRequest {
  body: CanonicalRequest & Record<string, unknown>;
  /** What the answer's translation needs to know of the request. */
  stopSequences: readonly string[];
  thinking: ThinkingDisplay;
}

/** Fields of the Messages API; those without a counterpart are dropped. */
const KNOWN = new Set([
  'model',
  'messages',
  'max_tokens',
  'system',
  'stream',
  'temperature',
  'top_p',
  'top_k',
  'stop_sequences',
  'tools',
  'tool_choice',
  'thinking',
  'metadata',
  'output_config',
  'output_format',
  'cache_control',
  'container',
  'context_management',
  'diagnostics',
  'inference_geo',
  'mcp_servers',
  'service_tier',
  'speed',
]);

/** Fields of the OpenAI dialect that the translation decides, or whose effect an answer of this dialect can not show. */
const RESERVED: Readonly<Record<string, string>> = {
  stop: 'send stop_sequences',
  max_completion_tokens: 'send max_tokens',
  user: 'send metadata.user_id',
  stream_options: 'usage is always reported',
  continue_final_message: 'end messages with an assistant message',
  add_generation_prompt: 'end messages with an assistant message to go on inside it',
  functions: 'send tools',
  function_call: 'send tool_choice',
  n: 'an answer holds one choice',
  best_of: 'an answer holds one choice',
  logprobs: 'an answer has no place for it',
  top_logprobs: 'an answer has no place for it',
  echo: 'an answer has no place for it',
  modalities: 'an answer has no place for it',
  audio: 'an answer has no place for it',
  prompt: 'send messages',
};

export function translateRequest(fields: Fields, traits: RequestTraits): TranslatedRequest {
  const maxTokens = fields.max_tokens;
  if (typeof maxTokens !== 'number' || !Number.isSafeInteger(maxTokens) || maxTokens < 1)
    throw refuse('max_tokens', maxTokens, 'an integer of at least 1');
  const stream = booleanAt('stream', fields.stream);
  const stopSequences = stopSequencesOf(fields);
  const prompt = translatePrompt(fields, traits);
  const body: CanonicalRequest = {
    ...prompt.body,
    max_tokens: maxTokens,
    ...(stream && { stream, stream_options: streamOptions(traits) }),
    ...numbers(fields),
    ...(stopSequences.length > 0 && { stop: stopSequences }),
    ...userOf(fields),
  };
  return { body: withEngineFields(body, fields), stopSequences, thinking: prompt.thinking };
}

/** The body of a question for the number of prompt tokens: what of the request becomes prompt, and nothing else. */
export function translateCountRequest(fields: Fields, traits: RequestTraits): TranslatedRequest['body'] {
  return withEngineFields(translatePrompt(fields, traits).body, fields);
}

function translatePrompt(
  fields: Fields,
  traits: RequestTraits,
): { body: CanonicalRequest; thinking: ThinkingDisplay } {
  const model = nameAt('model', fields.model);
  refuseVendorServices(fields);
  const messages = translateMessages(fields);
  const { display, ...thinking } = translateThinking(fields, traits);
  return {
    body: {
      model,
      messages,
      ...translateTools(fields),
      ...thinking,
      ...outputFormat(fields),
      ...prefill(messages, traits),
    },
    thinking: display,
  };
}

/** Things that happen at the vendor, and whose absence would change the answer. */
function refuseVendorServices(fields: Fields): void {
  if (isSet(fields.container)) throw refuseUse('container', 'there are no containers here');
  if (isSet(fields.mcp_servers) && arrayAt('mcp_servers', fields.mcp_servers).length > 0)
    throw refuseUse('mcp_servers', 'MCP servers are not called from here; let the client call them');
}

/** Usage in every event tells the size of the prompt before the first token, where the engine can. */
function streamOptions({ lenientFields }: RequestTraits): NonNullable<CanonicalRequest['stream_options']> {
  return { include_usage: true, ...(lenientFields && { continuous_usage_stats: true }) };
}

function numbers(fields: Fields): Pick<CanonicalRequest, 'temperature' | 'top_p' | 'top_k'> {
  const temperature = numberAt(fields, 'temperature');
  const topP = numberAt(fields, 'top_p');
  const topK = numberAt(fields, 'top_k');
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
  };
}

function stopSequencesOf(fields: Fields): string[] {
  if (!isSet(fields.stop_sequences)) return [];
  return arrayAt('stop_sequences', fields.stop_sequences).map((value, index) =>
    nameAt(`stop_sequences.${index}`, value),
  );
}

function userOf(fields: Fields): Pick<CanonicalRequest, 'user'> {
  if (!isSet(fields.metadata)) return {};
  const { user_id } = recordAt('metadata', fields.metadata);
  return isSet(user_id) ? { user: stringAt('metadata.user_id', user_id) } : {};
}

/** `output_config.format`, or `output_format` as former versions of the API had it. */
function outputFormat(fields: Fields): Pick<CanonicalRequest, 'response_format'> {
  const config = isSet(fields.output_config) ? recordAt('output_config', fields.output_config) : {};
  const param = isSet(config.format) ? 'output_config.format' : 'output_format';
  const value = config.format ?? fields.output_format ?? null;
  if (value === null) return {};
  const format = recordAt(param, value);
  if (format.type !== 'json_schema') throw refuse(`${param}.type`, format.type, '"json_schema"');
  const schema = recordAt(`${param}.schema`, format.schema);
  return {
    response_format: { type: 'json_schema', json_schema: { name: 'output', schema, strict: true } },
  };
}

/** Messages that end with the assistant's are gone on inside it. */
function prefill(
  messages: readonly CanonicalMessage[],
  traits: RequestTraits,
): Pick<CanonicalRequest, 'continue_final_message' | 'add_generation_prompt'> {
  const last = messages.at(-1);
  if (last?.role !== 'assistant' || last.tool_calls !== undefined) return {};
  const text = last.content ?? '';
  if (!traits.prefill) {
    throw refuseUse(
      'messages',
      'this model can not go on inside an assistant message; end with a user message',
    );
  }
  if (text.trimEnd() === '' || text.trimEnd() !== text)
    throw refuseUse('messages', 'the last assistant message must have text, and not end in white space');
  return { continue_final_message: true, add_generation_prompt: false };
}

function withEngineFields(body: CanonicalRequest, fields: Fields): TranslatedRequest['body'] {
  const set = new Set(Object.keys(body));
  const extra: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (KNOWN.has(name)) continue;
    if (Object.hasOwn(RESERVED, name)) throw refuseUse(name, `is not a field of this API; ${RESERVED[name]}`);
    if (name === 'chat_template_kwargs') continue;
    if (set.has(name)) throw refuseUse(name, 'is set by the translation of another field; send one of both');
    extra[name] = value;
  }
  return { ...extra, ...body, ...templateArguments(body, fields) };
}

/** The client's own arguments win over those that `thinking` stands for. */
function templateArguments(
  body: CanonicalRequest,
  fields: Fields,
): Pick<CanonicalRequest, 'chat_template_kwargs'> {
  if (!isSet(fields.chat_template_kwargs)) return {};
  const own = recordAt('chat_template_kwargs', fields.chat_template_kwargs);
  return { chat_template_kwargs: { ...body.chat_template_kwargs, ...own } };
}
