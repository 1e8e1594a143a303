/**
 * What can be asked of an engine, and what comes back: the OpenAI API of its gateway in the words of a Node program. Failures are
 * PlatformErrors; a connection that nobody answered (a gateway that is just being replaced) is tried again, for a while.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch, type Response } from 'undici';
import { readEventStream } from '../client/event-stream.ts';
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../contract/errors.ts';

export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool' | (string & {});
  content: unknown;
  [field: string]: unknown;
}

/** A string is one message of the user. */
export type Prompt = string | readonly Message[];

export interface GenerateOptions {
  /** Put in front of the messages. */
  system?: string;
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  seed?: number;
  stop?: string | readonly string[];
  /** The answer is JSON that obeys this schema. */
  jsonSchema?: Readonly<Record<string, unknown>>;
  /** Name of an alias or adapter; default: the model of the engine. */
  model?: string;
  /** Further fields of the request, as the OpenAI API or the engine names them. */
  extra?: Readonly<Record<string, unknown>>;
  /** Ends the request; the engine stops computing at once. */
  signal?: AbortSignal;
}

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  totalTokens: number;
}

export interface Generation {
  text: string;
  /** `stop`, `length`, `tool_calls` and the like. */
  finishReason: string;
  usage: Usage;
  model: string;
}

export interface CompleteGeneration extends Generation {
  /** The whole answer, as the OpenAI API has it: tool calls, reasoning, log probabilities. */
  raw: Readonly<Record<string, unknown>>;
}

export interface StreamedGeneration extends Generation {
  /** Times that another replica went on with the answer because its engine had died. */
  continuations: number;
}

/** Text as it comes, once; what is known at the end is in `result`. Leaving the loop ends the request. */
export interface GenerationStream extends AsyncIterable<string> {
  /** Rejects as the loop does, and also when the loop was left early. */
  readonly result: Promise<StreamedGeneration>;
}

export interface Endpoint {
  /** Origin of the gateway, without `/v1`. */
  url: string;
  apiKey: string;
}

/** Our own limits are the gateway's; undici's would cut a long prefill. */
const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
/** A gateway that died is back within a second. */
const CONNECT_TRIES_MAX = 20;
const CONNECT_WAIT_MS = 250;

export class Generations {
  /** Resolves with where the gateway is now; asked for each try. */
  readonly #endpoint: () => Promise<Endpoint>;
  readonly #modelName: string;

  constructor(endpoint: () => Promise<Endpoint>, modelName: string) {
    this.#endpoint = endpoint;
    this.#modelName = modelName;
  }

  async generate(prompt: Prompt, options: GenerateOptions): Promise<CompleteGeneration> {
    const response = await this.#post('/v1/chat/completions', this.#chat(prompt, options), options.signal);
    const raw = await readJson(response, options.signal);
    const [choice] = Array.isArray(raw.choices) ? (raw.choices as Choice[]) : [];
    if (choice === undefined) throw new PlatformError('engine_failed', 'the answer has no choices');
    return {
      text: choice.message?.content ?? '',
      finishReason: choice.finish_reason ?? 'stop',
      usage: usageOf(raw.usage),
      model: String(raw.model ?? this.#modelName),
      raw,
    };
  }

  stream(prompt: Prompt, options: GenerateOptions): GenerationStream {
    const { promise, resolve, reject } = Promise.withResolvers<StreamedGeneration>();
    promise.catch(() => {});
    let begun = false;
    const iterate = () => {
      if (begun)
        throw new PlatformError(
          'conflict',
          'this stream is read already; ask for another one to read it again',
        );
      begun = true;
      return this.#parts(prompt, options, { resolve, reject });
    };
    return { result: promise, [Symbol.asyncIterator]: iterate };
  }

  async *#parts(
    prompt: Prompt,
    options: GenerateOptions,
    { resolve, reject }: { resolve(end: StreamedGeneration): void; reject(error: unknown): void },
  ): AsyncGenerator<string, void, void> {
    const left = new AbortController();
    const { signal = left.signal } = options;
    const joined = AbortSignal.any([left.signal, signal]);
    const end: StreamedGeneration = { ...NOTHING_YET, model: this.#modelName };
    let isWhole = false;
    try {
      const body = { ...this.#chat(prompt, options), stream: true, stream_options: { include_usage: true } };
      const response = await this.#post('/v1/chat/completions', body, joined);
      for await (const part of readEventStream(response.body as unknown as AsyncIterable<Uint8Array>)) {
        if (part.type === 'comment') {
          if (part.text.startsWith('x-autoglm-continuation:')) end.continuations++;
        } else if (part.text === '[DONE]') {
          isWhole = true;
        } else {
          const text = takeChunk(part.text, end);
          if (text === '') continue;
          end.text += text;
          yield text;
        }
      }
      if (!isWhole) throw new PlatformError('stream_interrupted', 'the answer broke off before its end');
      resolve(end);
    } catch (thrown) {
      const error = explain(thrown, signal);
      reject(error);
      throw error;
    } finally {
      // After a failure or a whole answer this changes nothing.
      reject(new PlatformError('client_closed', 'the stream was left before its end'));
      left.abort();
    }
  }

  async embed(
    texts: readonly string[],
    options: Pick<GenerateOptions, 'model' | 'signal'>,
  ): Promise<number[][]> {
    const body = { model: options.model ?? this.#modelName, input: texts, encoding_format: 'float' };
    const raw = await readJson(await this.#post('/v1/embeddings', body, options.signal), options.signal);
    const data = Array.isArray(raw.data) ? (raw.data as { index?: number; embedding?: number[] }[]) : [];
    const vectors = data
      .toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0))
      .map(({ embedding = [] }) => embedding);
    if (vectors.length === texts.length) return vectors;
    throw new PlatformError('engine_failed', `found ${vectors.length} vectors for ${texts.length} texts`);
  }

  #chat(prompt: Prompt, options: GenerateOptions): Record<string, unknown> {
    const asked = typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
    const { system, jsonSchema } = options;
    const named = {
      max_tokens: options.maxTokens,
      temperature: options.temperature,
      top_p: options.topP,
      seed: options.seed,
      stop: options.stop,
      response_format: jsonSchema && {
        type: 'json_schema',
        json_schema: { name: 'answer', schema: jsonSchema },
      },
    };
    const given = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
    return {
      model: options.model ?? this.#modelName,
      messages: system === undefined ? asked : [{ role: 'system', content: system }, ...asked],
      ...given,
      ...options.extra,
    };
  }

  async #post(path: string, body: unknown, signal: AbortSignal | undefined): Promise<Response> {
    for (let tries = 1; ; tries++) {
      try {
        signal?.throwIfAborted();
        const { url, apiKey } = await this.#endpoint();
        const response = await fetch(`${url}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
          body: JSON.stringify(body),
          dispatcher: agent,
          signal: signal ?? null,
        });
        if (response.ok) return response;
        throw await refusal(response);
      } catch (thrown) {
        if (tries >= CONNECT_TRIES_MAX || !isUnanswered(thrown) || signal?.aborted)
          throw explain(thrown, signal);
        await sleep(CONNECT_WAIT_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }
}

interface Choice {
  message?: { content?: string | null };
  delta?: { content?: string | null };
  finish_reason?: string | null;
}

const NOTHING_YET: Omit<StreamedGeneration, 'model'> = {
  text: '',
  finishReason: 'stop',
  usage: { promptTokens: 0, completionTokens: 0, totalTokens: 0 },
  continuations: 0,
};

/** The text of an event of the stream; what else it says goes into `end`. */
function takeChunk(data: string, end: StreamedGeneration): string {
  let chunk: { choices?: Choice[]; usage?: unknown; error?: unknown; model?: unknown };
  try {
    chunk = JSON.parse(data) as typeof chunk;
  } catch (cause) {
    throw new PlatformError('stream_interrupted', 'the answer holds an event that is not JSON', { cause });
  }
  if (chunk.error !== undefined) throw errorIn(chunk, 502);
  const [choice] = chunk.choices ?? [];
  if (typeof chunk.model === 'string') end.model = chunk.model;
  if (chunk.usage) end.usage = usageOf(chunk.usage);
  if (choice?.finish_reason) end.finishReason = choice.finish_reason;
  return choice?.delta?.content ?? '';
}

function usageOf(usage: unknown): Usage {
  const { prompt_tokens = 0, completion_tokens = 0 } = (usage ?? {}) as Record<string, number | undefined>;
  return {
    promptTokens: prompt_tokens,
    completionTokens: completion_tokens,
    totalTokens: prompt_tokens + completion_tokens,
  };
}

async function readJson(
  response: Response,
  signal: AbortSignal | undefined,
): Promise<Record<string, unknown>> {
  try {
    return (await response.json()) as Record<string, unknown>;
  } catch (thrown) {
    throw explain(thrown, signal);
  }
}

async function refusal(response: Response): Promise<PlatformError> {
  const body = (await response.json().catch(() => ({}))) as { error?: unknown };
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  return errorIn(body, response.status, Number.isFinite(retryAfter) ? retryAfter : undefined);
}

/** What the engine refuses by itself has a code of its own words, or none. */
function errorIn({ error }: { error?: unknown }, status: number, retryAfterS?: number): PlatformError {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const known = typeof code === 'string' && code in ERROR_SPECS ? (code as ErrorCode) : undefined;
  const text = typeof message === 'string' ? message : `HTTP ${status}`;
  const options = retryAfterS === undefined ? {} : { retryAfterS };
  return new PlatformError(known ?? (status < 500 ? 'invalid_request' : 'engine_failed'), text, options);
}

/** No byte of an answer came, and none was refused: nobody was there. */
function isUnanswered(thrown: unknown): boolean {
  const { cause } = thrown as { cause?: NodeJS.ErrnoException };
  return (
    thrown instanceof TypeError &&
    ['ECONNREFUSED', 'ECONNRESET', 'UND_ERR_SOCKET'].includes(cause?.code ?? '')
  );
}

function explain(thrown: unknown, signal: AbortSignal | undefined): PlatformError {
  if (signal?.aborted)
    return new PlatformError('client_closed', 'the request was given up', { cause: signal.reason });
  if (thrown instanceof PlatformError) return thrown;
  return PlatformError.from(thrown, 'stream_interrupted', 'the connection broke in the middle of the answer');
}
