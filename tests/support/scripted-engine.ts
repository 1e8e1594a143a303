/**
 * A small engine inside the test process for what must be exact to the byte: one fixed answer, and a script that says when
 * to die, stall, refuse or answer otherwise. Speaks as much of the vLLM dialect as continuation needs. For anything about
 * load or timing the simulator is the right engine.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Whole tokens of the one answer: leading spaces, accents, an emoji, a newline. */
export const ANSWER = [' Héllo', ' wörld', ' 🙂', ' and', ' more', '\n', 'END', ' of', ' it', ' 語', '.'];
export const ANSWER_TEXT = ANSWER.join('');
const PROMPT_IDS = [11, 12, 13];
const tokenId = (index: number) => 100 + index;

export interface SeenRequest {
  path: string;
  headers: IncomingMessage['headers'];
  raw: string;
  bytes: Buffer;
  body: Record<string, unknown>;
  /** When the client side of the connection closed before the answer was complete; null when it did not. */
  abortedAtMs: number | null;
  startedAtMs: number;
}

export interface Script {
  /** Cut the connection after so many content events. */
  dieAfter?: number;
  /** Cut it after the headers and the role event, before any content. */
  dieAfterRole?: boolean;
  /** Cut it before the response head. */
  dieBeforeHead?: boolean;
  /** Send so many content events, then nothing. */
  stallAfter?: number;
  /** Never answer. */
  hang?: boolean;
  /** End cleanly after so many content events, without finish_reason and [DONE]. */
  endAfter?: number;
  /** Leave [DONE] out after a complete answer. */
  withoutDone?: boolean;
  /** Report an error event after so many content events. */
  errorEventAfter?: number;
  errorEvent?: Record<string, unknown>;
  /** The error event travels in one packet with the token before it. */
  errorWithToken?: boolean;
  /** Between the last event and [DONE], ms. */
  pauseBeforeDoneMs?: number;
  /** Answer with this status and body. */
  status?: number;
  body?: string;
  headers?: Record<string, string>;
  /** Between events, ms. */
  paceMs?: number;
  /** Answer with other tokens than the rest of the fleet. */
  answer?: string[];
  /** Answer chat requests with these deltas instead of tokens, and end as `chat` says. */
  chat?: ScriptedChat;
  /** Refuse this path with 400. */
  refusePath?: string;
  emptyBody?: boolean;
  /** Answer a stream with just these bytes, one write each, and end. */
  chunks?: readonly (Buffer | string)[];
  /** Cut the connection after `chunks` instead of ending it. */
  chunksThenDie?: boolean;
  /** Before the response head, ms. */
  quietMs?: number;
  /** Between the role event and the first token, ms. */
  prefillMs?: number;
  /** Of `base` alone: before the answer to /tokenize, ms. */
  tokenizeMs?: number;
}

export interface ScriptedChat {
  /** `delta` of each content event; an event for `dieAfter` and its like. */
  deltas: Record<string, unknown>[];
  /** Further fields of the choice that ends the answer, such as `stop_reason`. */
  ending?: Record<string, unknown>;
  usage?: Record<string, unknown>;
  /** Usage in every event too. */
  continuousUsage?: boolean;
  /** Comments that go before the first event. */
  comments?: string[];
}

export interface ScriptedEngine {
  url: string;
  port: number;
  seen: SeenRequest[];
  /** Scripts of the next requests, first one first; afterwards `base`. */
  next: Script[];
  base: Script;
  inFlight: number;
  close(): Promise<void>;
  /** Closes the listener and cuts all connections, as a killed process does. */
  kill(): Promise<void>;
}

export async function startScriptedEngine(base: Script = {}): Promise<ScriptedEngine> {
  const engine: ScriptedEngine = {
    url: '',
    port: 0,
    seen: [],
    next: [],
    base,
    inFlight: 0,
    close: () => stop(server),
    kill: () => stop(server),
  };
  const server = createServer((request, response) => {
    void serve(engine, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  engine.port = (server.address() as AddressInfo).port;
  engine.url = `http://127.0.0.1:${engine.port}`;
  return engine;
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function serve(
  engine: ScriptedEngine,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const raw = bytes.toString('utf8');
  const body = (raw === '' ? {} : JSON.parse(raw)) as Record<string, unknown>;
  const path = request.url ?? '';
  const seen: SeenRequest = {
    path,
    headers: request.headers,
    raw,
    bytes,
    body,
    abortedAtMs: null,
    startedAtMs: performance.now(),
  };
  engine.seen.push(seen);
  if (path === '/tokenize') {
    await pause(engine.base.tokenizeMs ?? 0);
    return json(response, 200, tokenize(body));
  }
  const script = engine.next.shift() ?? engine.base;
  engine.inFlight++;
  response.on('close', () => {
    engine.inFlight--;
    if (!response.writableFinished) seen.abortedAtMs = performance.now();
  });
  if (script.dieBeforeHead) return void request.socket.destroy();
  if (script.hang) return;
  if (script.quietMs !== undefined) await pause(script.quietMs);
  if (response.destroyed) return;
  if (script.refusePath === path)
    return json(response, 400, {
      error: { message: 'substring not found', type: 'x', param: null, code: 400 },
    });
  if (script.status !== undefined) {
    response.writeHead(script.status, { 'content-type': 'application/json', ...script.headers });
    return void response.end(
      script.body ?? '{"error":{"message":"scripted","type":"server_error","param":null,"code":null}}',
    );
  }
  if (script.chunks !== undefined) {
    await writeChunks(response, script.chunks, script.headers);
    return script.chunksThenDie ? cut(request) : void response.end();
  }
  if (script.emptyBody) return void response.writeHead(200, { 'content-type': 'application/json' }).end();
  if (path === '/v1/embeddings') {
    return json(response, 200, {
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: [0.6, 0.8] }],
      model: body.model,
      usage: { prompt_tokens: 3, total_tokens: 3 },
    });
  }
  if (script.chat !== undefined && path === '/v1/chat/completions') {
    const { chat } = script;
    if (body.stream === true)
      await stream(response, request, script, body, path, chat.deltas, 0, reasonOf(chat));
    else json(response, 200, wholeChat(body, chat));
    return;
  }
  const start = startOf(body);
  if (start < 0)
    return json(response, 400, {
      error: { message: 'the prefix is not mine', type: 'x', param: null, code: 400 },
    });
  const answer = script.answer ?? ANSWER;
  const limit = Number(body.max_completion_tokens ?? body.max_tokens ?? 1000);
  const tokens = answer.slice(start, start + limit);
  const reason = start + tokens.length < answer.length ? 'length' : 'stop';
  if (body.stream === true) await stream(response, request, script, body, path, tokens, start, reason);
  else json(response, 200, whole(body, path, tokens, start, reason));
}

/** How many tokens of the answer the prompt holds already; -1 when it is cut inside a token. */
function startOf(body: Record<string, unknown>): number {
  if (Array.isArray(body.prompt)) return body.prompt.length - PROMPT_IDS.length;
  let prefix = '';
  if (typeof body.prompt === 'string') prefix = body.prompt.slice(1);
  const last = Array.isArray(body.messages) ? (body.messages.at(-1) as Record<string, unknown>) : undefined;
  if (last?.role === 'assistant' && body.continue_final_message === true) prefix = String(last.content);
  for (let count = 0; count <= ANSWER.length; count++) {
    if (ANSWER.slice(0, count).join('') === prefix) return count;
  }
  return -1;
}

function tokenize(body: Record<string, unknown>): Record<string, unknown> {
  if (Array.isArray(body.messages)) return { tokens: PROMPT_IDS, count: PROMPT_IDS.length };
  const text = String(body.prompt);
  for (let count = 0; count <= ANSWER.length; count++) {
    if (ANSWER.slice(0, count).join('') === text) {
      return { tokens: ANSWER.slice(0, count).map((_, index) => tokenId(index)), count };
    }
  }
  return { tokens: PROMPT_IDS, count: PROMPT_IDS.length };
}

function reasonOf({ deltas }: ScriptedChat): string {
  return deltas.some(({ tool_calls: calls }) => calls !== undefined) ? 'tool_calls' : 'stop';
}

/** Deltas as one message. */
function messageOf(deltas: Record<string, unknown>[]): Record<string, unknown> {
  const message: Record<string, unknown> = { role: 'assistant', content: null };
  const calls: Record<string, unknown>[] = [];
  for (const { tool_calls: parts, ...texts } of deltas) {
    for (const [name, text] of Object.entries(texts)) message[name] = `${message[name] ?? ''}${text}`;
    for (const part of (parts ?? []) as {
      index: number;
      id?: string;
      function: { name?: string; arguments: string };
    }[]) {
      const known = calls[part.index] as { function: { arguments: string } } | undefined;
      if (known === undefined) calls[part.index] = { ...structuredClone(part), type: 'function' };
      else known.function.arguments += part.function.arguments;
    }
  }
  return { ...message, ...(calls.length > 0 && { tool_calls: calls }) };
}

function usage(tokens: unknown[], start: number) {
  const prompt = PROMPT_IDS.length + start;
  return { prompt_tokens: prompt, completion_tokens: tokens.length, total_tokens: prompt + tokens.length };
}

function whole(body: Record<string, unknown>, path: string, tokens: string[], start: number, reason: string) {
  const text = tokens.join('');
  const choice = path.endsWith('/chat/completions')
    ? { index: 0, message: { role: 'assistant', content: text }, finish_reason: reason }
    : { index: 0, text, finish_reason: reason };
  return {
    id: 'scripted-1',
    object: 'x',
    created: 1,
    model: body.model,
    choices: [choice],
    unknown_field: { kept: true },
    usage: usage(tokens, start),
  };
}

function wholeChat(body: Record<string, unknown>, chat: ScriptedChat) {
  const message = messageOf(chat.deltas);
  return {
    id: 'chatcmpl-scripted',
    object: 'chat.completion',
    created: 1,
    model: body.model,
    choices: [{ index: 0, message, finish_reason: reasonOf(chat), ...chat.ending }],
    usage: chat.usage ?? usage(chat.deltas, 0),
  };
}

async function stream(
  response: ServerResponse,
  request: IncomingMessage,
  script: Script,
  body: Record<string, unknown>,
  path: string,
  tokens: (string | Record<string, unknown>)[],
  start: number,
  reason: string,
): Promise<void> {
  const chat = path.endsWith('/chat/completions');
  const withIds = body.return_token_ids === true;
  const base = {
    id: `engine-${Math.random()}`,
    object: chat ? 'chat.completion.chunk' : 'text_completion',
    created: Date.now(),
    model: body.model,
  };
  const send = (value: unknown) =>
    response.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  for (const comment of script.chat?.comments ?? []) response.write(`: ${comment}\n\n`);
  const counts = script.chat?.usage ?? usage(tokens, start);
  const always = script.chat?.continuousUsage === true ? { usage: counts } : {};
  const first = withIds ? { prompt_token_ids: PROMPT_IDS } : {};
  if (chat)
    send({
      ...base,
      choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
      ...first,
      ...always,
    });
  if (script.dieAfterRole) return cut(request);
  await pause(script.prefillMs ?? 0);
  for (const [index, token] of tokens.entries()) {
    if (script.dieAfter === index) return cut(request);
    if (script.stallAfter === index) return;
    if (script.endAfter === index) return void response.end();
    if (script.errorEventAfter === index + 1 && script.errorWithToken) {
      const last = {
        ...base,
        choices: [{ index: 0, ...(chat ? { delta: deltaOf(token) } : { text: token }) }],
      };
      response.write(
        `data: ${JSON.stringify(last)}\n\ndata: {"error":{"message":"EngineCore encountered an issue","code":500}}\n\n`,
      );
      response.end();
      return;
    }
    if (script.errorEventAfter === index) {
      send({
        error: script.errorEvent ?? {
          message: 'EngineCore encountered an issue',
          type: 'InternalServerError',
          code: 500,
        },
      });
      return void response.end();
    }
    await pause(script.paceMs ?? 0);
    if (response.destroyed) return;
    const ids = withIds ? { token_ids: [tokenId(start + index)] } : {};
    const choice = chat
      ? { index: 0, delta: deltaOf(token), finish_reason: null, ...ids }
      : { index: 0, text: token, finish_reason: null, ...ids };
    send({
      ...base,
      choices: [choice],
      ...always,
      ...(!chat && index === 0 ? { choices: [{ ...choice, ...first }] } : {}),
    });
  }
  if (script.dieAfter === tokens.length) return cut(request);
  const end = chat
    ? { index: 0, delta: {}, finish_reason: reason, ...script.chat?.ending }
    : { index: 0, text: '', finish_reason: reason };
  send({ ...base, choices: [end] });
  const options = body.stream_options as Record<string, unknown> | undefined;
  if (options?.include_usage === true) send({ ...base, choices: [], usage: counts });
  await pause(script.pauseBeforeDoneMs ?? 0);
  if (!script.withoutDone) send('[DONE]');
  response.end();
}

function deltaOf(token: string | Record<string, unknown>): Record<string, unknown> {
  return typeof token === 'string' ? { content: token } : token;
}

/** One packet per piece, as far as the loopback allows. */
async function writeChunks(
  response: ServerResponse,
  chunks: readonly (Buffer | string)[],
  headers: Record<string, string> = {},
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
  response.flushHeaders();
  for (const chunk of chunks) {
    response.write(chunk);
    await pause(0);
  }
}

/** Cuts the connection when all that was written has left. */
async function cut(request: IncomingMessage): Promise<void> {
  await pause(10);
  request.socket.destroy();
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms)));
}
