/**
 * The little of the OpenAI API that `autoglm chat` needs: list models, stream an answer. Failures are PlatformErrors that say
 * what to do; an answer that breaks off in the middle is one of them.
 */
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../contract/errors.ts';
import { readEventData } from './event-stream.ts';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface ChatClientOptions {
  /** Origin of the gateway, without `/v1`. */
  url: string;
  key: string | undefined;
}

export type ChatEvent =
  | { type: 'text'; text: string }
  | { type: 'usage'; promptTokens: number; completionTokens: number };

export interface ChatClient {
  listModels(signal: AbortSignal): Promise<string[]>;
  stream(model: string, messages: readonly ChatMessage[], signal: AbortSignal): AsyncGenerator<ChatEvent>;
}

export function createChatClient({ url, key }: ChatClientOptions): ChatClient {
  async function call(path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (key !== undefined) headers.authorization = `Bearer ${key}`;
    const init =
      body === undefined
        ? { headers, signal }
        : { method: 'POST', headers, signal, body: JSON.stringify(body) };
    let response: Response;
    try {
      response = await fetch(`${url}${path}`, init);
    } catch (error) {
      if (signal.aborted) throw PlatformError.from(error, 'client_closed', 'stopped');
      const message = `nothing answers at ${url}; start it with \`autoglm serve\``;
      throw new PlatformError('not_running', message, { cause: error });
    }
    if (response.ok) return response;
    throw refusal(await response.text(), response.status);
  }

  return {
    async listModels(signal) {
      const response = await call('/v1/models', undefined, signal);
      const { data } = (await response.json()) as { data: { id: string }[] };
      return data.map(({ id }) => id);
    },
    async *stream(model, messages, signal) {
      const request = { model, messages, stream: true, stream_options: { include_usage: true } };
      const response = await call('/v1/chat/completions', request, signal);
      let complete = false;
      try {
        for await (const data of readEventData(response.body as unknown as AsyncIterable<Uint8Array>)) {
          complete = data === '[DONE]';
          if (!complete) yield* readChunk(data);
        }
      } catch (error) {
        if (signal.aborted) throw PlatformError.from(error, 'client_closed', 'stopped');
        throw PlatformError.from(error, 'stream_interrupted');
      }
      if (!complete) throw new PlatformError('stream_interrupted', 'the answer broke off before its end');
    },
  };
}

interface Chunk {
  choices?: { delta?: { content?: string | null } }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
  error?: unknown;
}

function* readChunk(data: string): Generator<ChatEvent> {
  const chunk = JSON.parse(data) as Chunk;
  if (chunk.error !== undefined) throw refusal(data, 502);
  const text = chunk.choices?.[0]?.delta?.content;
  if (text) yield { type: 'text', text };
  if (chunk.usage) {
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = chunk.usage;
    yield { type: 'usage', promptTokens, completionTokens };
  }
}

function refusal(text: string, status: number): PlatformError {
  let error: { code?: unknown; message?: unknown } | undefined;
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error;
  } catch {
    // Not our gateway, or one that is broken: the status is all there is to say.
  }
  const code =
    typeof error?.code === 'string' && error.code in ERROR_SPECS ? (error.code as ErrorCode) : 'internal';
  return new PlatformError(code, typeof error?.message === 'string' ? error.message : `HTTP ${status}`);
}
