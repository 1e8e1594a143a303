/**
 * The little of the OpenAI API that `autoglm chat` needs: list models, stream an answer. Failures are PlatformErrors that say
 * what to do; an answer that breaks off in the middle is one of them.
 */
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../contract/errors.ts';
import { readEventStream } from './event-stream.ts';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface ChatClientOptions {
  /** Origin of the gateway, without `/v1`. */
  url: string;
  key: string | undefined;
  /** Longest answer; undefined: as long as the model goes on. */
  maxTokens?: number | undefined;
}

export type ChatEvent =
  | { type: 'text'; text: string }
  | { type: 'usage'; promptTokens: number; completionTokens: number }
  /** The engine died, and another replica goes on from here. */
  | { type: 'continued'; tier: string; gapMs: number }
  | { type: 'finish'; reason: string };

export interface ChatClient {
  listModels(signal: AbortSignal): Promise<string[]>;
  stream(model: string, messages: readonly ChatMessage[], signal: AbortSignal): AsyncGenerator<ChatEvent>;
}

export function createChatClient({ url, key, maxTokens }: ChatClientOptions): ChatClient {
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
    throw refusal(await response.text().catch(() => ''), response.status, url);
  }

  return {
    async listModels(signal) {
      const response = await call('/v1/models', undefined, signal);
      const body = (await response.json().catch(() => undefined)) as { data?: unknown } | null | undefined;
      if (!Array.isArray(body?.data)) throw stranger(url, response.status);
      return (body.data as { id: unknown }[]).map(({ id }) => String(id));
    },
    async *stream(model, messages, signal) {
      const request = {
        model,
        messages,
        stream: true,
        stream_options: { include_usage: true },
        ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
      };
      const response = await call('/v1/chat/completions', request, signal);
      let complete = false;
      try {
        const parts = readEventStream(response.body as unknown as AsyncIterable<Uint8Array>);
        for await (const { type, text } of parts) {
          if (type === 'comment') yield* readComment(text);
          else if (text === '[DONE]') complete = true;
          else yield* readChunk(text, url);
        }
      } catch (error) {
        if (signal.aborted) throw PlatformError.from(error, 'client_closed', 'stopped');
        throw PlatformError.from(
          error,
          'stream_interrupted',
          'the connection broke in the middle of the answer',
        );
      }
      if (!complete) throw new PlatformError('stream_interrupted', 'the answer broke off before its end');
    },
  };
}

interface Chunk {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
  error?: unknown;
}

/** `x-autoglm-continuation: tier=B gap_ms=12`; docs/continuation.md. Other comments say nothing to us. */
function* readComment(text: string): Generator<ChatEvent> {
  const found = /^x-autoglm-continuation: tier=(\w+) gap_ms=(\d+)/.exec(text);
  if (found !== null) yield { type: 'continued', tier: found[1] ?? '', gapMs: Number(found[2]) };
}

function* readChunk(data: string, url: string): Generator<ChatEvent> {
  let chunk: Chunk;
  try {
    chunk = JSON.parse(data) as Chunk;
  } catch (error) {
    throw new PlatformError('stream_interrupted', 'the answer holds an event that is not JSON', {
      cause: error,
    });
  }
  if (chunk.error !== undefined) throw refusal(data, 502, url);
  const choice = chunk.choices?.[0];
  if (choice?.delta?.content) yield { type: 'text', text: choice.delta.content };
  if (choice?.finish_reason) yield { type: 'finish', reason: choice.finish_reason };
  if (chunk.usage) {
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = chunk.usage;
    yield { type: 'usage', promptTokens, completionTokens };
  }
}

function stranger(url: string, status: number): PlatformError {
  return new PlatformError(
    'not_running',
    `what answers at ${url} is not an OpenAI-compatible gateway (HTTP ${status}); name the right address with --url`,
  );
}

function refusal(text: string, status: number, url: string): PlatformError {
  let error: { code?: unknown; message?: unknown } | undefined;
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error;
  } catch {
    return stranger(url, status);
  }
  if (typeof error?.message !== 'string') return stranger(url, status);
  const code =
    typeof error.code === 'string' && error.code in ERROR_SPECS ? (error.code as ErrorCode) : 'internal';
  // Every gateway has the paths that are asked for here; a port of ours that has not is the admin port.
  if (code === 'not_found') return stranger(url, status);
  const hint = code === 'invalid_api_key' ? ' (name the key of the gateway with --key or AUTOGLM_KEY)' : '';
  return new PlatformError(code, `${error.message}${hint}`);
}
