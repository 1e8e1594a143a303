/**
 * The one canonical request between dialects: the part of the OpenAI chat request that translations set, typed. Every dialect
 * that is not OpenAI's is translated into it before the request loop, which speaks nothing else; fields of engines that no
 * dialect knows ride along beside it (docs/adr/0008-dialects.md).
 */

export interface TextPart {
  type: 'text';
  text: string;
}

export interface ImagePart {
  type: 'image_url';
  /** `https:`, or `data:` with base64. `detail`: `low` or `high`. */
  image_url: { url: string; detail?: string };
}

export interface FilePart {
  type: 'file';
  file: { filename?: string; file_data: string };
}

export interface AudioPart {
  type: 'input_audio';
  /** Base64 and its format, as the client wrote them. */
  input_audio: Record<string, unknown>;
}

export type ContentPart = TextPart | ImagePart | FilePart | AudioPart;

export interface CanonicalToolCall {
  id: string;
  type: 'function';
  /** `arguments` is the JSON text of an object. */
  function: { name: string; arguments: string };
}

export interface SystemMessage {
  role: 'system';
  content: string | ContentPart[];
}

export interface UserMessage {
  role: 'user';
  content: string | ContentPart[];
}

export interface AssistantMessage {
  role: 'assistant';
  /** Null when the turn only called tools. */
  content: string | null;
  tool_calls?: CanonicalToolCall[];
  /** The same text under both names that engines read: vLLM says `reasoning`, templates and other engines the longer one. */
  reasoning?: string;
  reasoning_content?: string;
}

export interface ToolMessage {
  role: 'tool';
  tool_call_id: string;
  content: string | ContentPart[];
}

export type CanonicalMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage;

export interface CanonicalTool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    /** A JSON Schema; none: a function without parameters. */
    parameters?: Record<string, unknown>;
    strict?: boolean;
  };
}

export type CanonicalToolChoice =
  | 'auto'
  | 'none'
  | 'required'
  | { type: 'function'; function: { name: string } };

export interface CanonicalRequest {
  model: string;
  messages: CanonicalMessage[];
  stream?: boolean;
  stream_options?: { include_usage: boolean; continuous_usage_stats?: boolean };
  max_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  stop?: string[];
  user?: string;
  tools?: CanonicalTool[];
  tool_choice?: CanonicalToolChoice;
  parallel_tool_calls?: boolean;
  response_format?:
    | { type: 'json_object' }
    | {
        type: 'json_schema';
        json_schema: {
          name: string;
          schema: Record<string, unknown>;
          strict?: boolean;
          description?: unknown;
        };
      };
  logprobs?: true;
  top_logprobs?: number;
  reasoning_effort?: string;
  verbosity?: string;
  chat_template_kwargs?: Record<string, unknown>;
  /** Both together: the answer goes on inside the last message, which is the assistant's. */
  continue_final_message?: true;
  add_generation_prompt?: false;
}

/** One text is a string, which every engine takes; anything more is a list of parts. */
export function simplestContent(parts: ContentPart[]): string | ContentPart[] {
  const [first] = parts;
  if (first === undefined) return '';
  return parts.length === 1 && first.type === 'text' ? first.text : parts;
}

/** One turn of the assistant. @param text null when it said nothing. */
export function assistantMessage(
  text: string | null,
  reasoning: string,
  toolCalls: CanonicalToolCall[],
): AssistantMessage {
  return {
    role: 'assistant',
    content: text,
    ...(reasoning !== '' && { reasoning, reasoning_content: reasoning }),
    ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
  };
}

/** What the engines of a pool can do with a canonical request; a translation asks for no more. */
export interface RequestTraits {
  /** The last message may be an unfinished one of the assistant. */
  prefill: boolean;
  /** Fields that an engine does not know are ignored and not refused. */
  lenientFields: boolean;
}
