/**
 * The vLLM HTTP dialect in front of any `EngineCore`: the one place that knows paths, status codes and how an error leaves.
 * Used by the processes of the embedded engine and of the simulator, which hand it each `HttpExchange` of their server.
 *
 * Invariant: every exchange is answered or destroyed exactly once, and nothing that a client sends ends the process.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { parseJsonObject } from '../json/parse-object.ts';
import { openAiErrorFrom } from '../openai/error-object.ts';
import type { AdapterAnswer, AdapterShelf } from './adapters.ts';
import { answerEmbeddings } from './answer-embeddings.ts';
import { answerGeneration } from './answer-generation.ts';
import { answerDetokenize, answerTokenize } from './answer-tokens.ts';
import { checkBearer } from './bearer-key.ts';
import { renderMetrics } from './metrics-text.ts';
import { parseChat, parseCompletions, type SamplingDefaults } from './parse-generation.ts';
import { type Fields, refuse } from './request-fields.ts';

export interface VllmDialectOptions {
  core: EngineCore;
  /** Answered by GET /version. */
  release: string;
  clock: Clock;
  /** When given, all paths but /health, /ready, /version and /metrics want `Authorization: Bearer KEY`. */
  apiKey?: string;
  /** LoRA adapters beside the model; needs a core that has `adapted`. */
  adapters?: AdapterShelf;
  /** What requests leave open. Default: temperature 1, as in the OpenAI API. */
  sampling?: SamplingDefaults;
  /** Seconds named in `Retry-After` when the core is full. Default 1. */
  retryAfterS?: number;
  /** How long a streaming client may read nothing before it is cut off, ms. Default 60 s. */
  stallMs?: number;
  /** Called for each failure that is not the caller's fault, with the original error. */
  onFault?: (error: PlatformError, exchange: HttpExchange, requestId: string) => void;
}

export interface VllmDialect {
  handle(exchange: HttpExchange): void;
  /** Requests for tokens or vectors that are being answered. */
  readonly active: number;
  /** From here on new work gets 503 `shutting_down`, and so does /health. Resolves when the last answer has ended. */
  drain(): Promise<void>;
}

const BODY_BYTES_MAX = 8 * 1024 * 1024;
const JSON_TYPE = { 'content-type': 'application/json' };

interface Work {
  exchange: HttpExchange;
  fields: Fields;
  /** As the request names it: the model, or an adapter on it. */
  core: EngineCore;
  /** Fires when the client has gone. */
  signal: AbortSignal;
  requestId: string;
}

export function createVllmDialect(options: VllmDialectOptions): VllmDialect {
  const { core, clock } = options;
  const sampling = options.sampling ?? { temperature: 1 };
  const startedS = Math.floor(clock.wallMs() / 1000);
  const state = { active: 0, draining: false, stoppedByString: 0, requests: 0 };
  const idle: (() => void)[] = [];

  const generate = (work: Work, parse: typeof parseChat) => {
    const spec = parse(work.core, work.fields, sampling);
    refuseWhenFull();
    return answerGeneration(
      {
        core: work.core,
        clock,
        exchange: work.exchange,
        signal: work.signal,
        requestId: work.requestId,
        stallMs: options.stallMs ?? 60_000,
        onStopString: () => {
          state.stoppedByString++;
        },
      },
      spec,
    );
  };

  const refuseWhenFull = () => {
    if (core.canAccept()) return;
    const { running, waiting } = core.metrics();
    throw new PlatformError(
      'engine_full',
      `the engine of ${core.info.model} is full: ${running} requests running, ${waiting} waiting`,
      { retryAfterS: options.retryAfterS ?? 1 },
    );
  };

  const reads: Record<string, (exchange: HttpExchange) => void> = {
    '/health': (exchange) => {
      if (state.draining) throw new PlatformError('shutting_down', 'the engine is being stopped');
      sendJson(exchange, { status: 'ok' });
    },
    '/ready': (exchange) => {
      if (state.draining) throw new PlatformError('shutting_down', 'the engine is being stopped');
      refuseWhenFull();
      sendJson(exchange, { status: 'ready' });
    },
    '/version': (exchange) => sendJson(exchange, { version: options.release }),
    '/metrics': (exchange) =>
      exchange.send(
        200,
        { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
        renderMetrics(core, state.stoppedByString),
      ),
    '/v1/models': (exchange) => sendJson(exchange, { object: 'list', data: modelObjects(options, startedS) }),
  };

  const works: Record<string, (work: Work) => void | Promise<void>> = {
    '/v1/chat/completions': (work) => generate(work, parseChat),
    '/v1/completions': (work) => generate(work, parseCompletions),
    '/v1/embeddings': async ({ exchange, fields, signal }) =>
      sendJson(exchange, await answerEmbeddings(core, fields, signal)),
    '/tokenize': ({ exchange, fields }) => sendJson(exchange, answerTokenize(core, fields)),
    '/detokenize': ({ exchange, fields }) => sendJson(exchange, answerDetokenize(core, fields)),
  };

  const { adapters } = options;
  const adapterCalls: Record<string, (fields: Fields) => AdapterAnswer> =
    adapters === undefined
      ? {}
      : {
          '/v1/load_lora_adapter': (fields) => adapters.load(fields),
          '/v1/unload_lora_adapter': (fields) => adapters.unload(fields),
        };

  const knownPaths = [...Object.keys(reads), ...Object.keys(works)].join(', ');

  const answerWork = async (
    exchange: HttpExchange,
    requestId: string,
    answer: (work: Work) => void | Promise<void>,
  ) => {
    const gone = new AbortController();
    exchange.onClientGone(() =>
      gone.abort(new PlatformError('client_closed', 'the client closed the connection')),
    );
    if (exchange.clientGone) return;
    const fields = parseJsonObject(await exchange.readBody(BODY_BYTES_MAX));
    const named = coreFor(options, fields);
    if (state.draining) {
      throw new PlatformError('shutting_down', 'the engine is being stopped', { retryAfterS: 1 });
    }
    await answer({ exchange, fields, core: named, signal: gone.signal, requestId });
  };

  const tracked = async (run: () => Promise<void>) => {
    state.active++;
    try {
      await run();
    } finally {
      state.active--;
      if (state.active === 0) for (const resolve of idle.splice(0)) resolve();
    }
  };

  const route = async (exchange: HttpExchange, requestId: string): Promise<void> => {
    const { path, method } = exchange;
    if (options.apiKey !== undefined && !OPEN_PATHS.has(path)) checkBearer(exchange.headers, options.apiKey);
    const read = path.startsWith('/v1/models/') ? modelRead(options, startedS) : reads[path];
    const adapterCall = adapterCalls[path];
    const work = works[path];
    if (read !== undefined) {
      if (method !== 'GET' && method !== 'HEAD') throw wrongMethod(exchange, 'GET');
      read(exchange);
    } else if (adapterCall !== undefined) {
      if (method !== 'POST') throw wrongMethod(exchange, 'POST');
      const { status, text } = adapterCall(parseJsonObject(await exchange.readBody(BODY_BYTES_MAX)));
      exchange.send(status, text.startsWith('{') ? { ...JSON_TYPE } : { 'content-type': 'text/plain' }, text);
    } else if (work !== undefined) {
      if (method !== 'POST') throw wrongMethod(exchange, 'POST');
      await tracked(() => answerWork(exchange, requestId, work));
    } else {
      throw new PlatformError('not_found', `nothing at ${path}; known: ${knownPaths}`);
    }
  };

  return {
    handle: (exchange) => {
      const given = exchange.headers['x-request-id']?.slice(0, 128);
      const requestId = given ?? `${startedS.toString(36)}-${++state.requests}`;
      route(exchange, requestId).catch((thrown: unknown) => {
        const error = PlatformError.from(thrown);
        if (error.spec.fault !== 'caller' && !exchange.clientGone) {
          options.onFault?.(error, exchange, requestId);
        }
        if (exchange.clientGone || exchange.headSent) return;
        sendError(exchange, error, requestId);
      });
    },
    get active() {
      return state.active;
    },
    drain: () => {
      state.draining = true;
      if (state.active === 0) return Promise.resolve();
      return new Promise((resolve) => idle.push(resolve));
    },
  };
}

const OPEN_PATHS: ReadonlySet<string> = new Set(['/health', '/ready', '/version', '/metrics']);

/** An error before the head was sent. */
export function sendError(exchange: HttpExchange, error: PlatformError, requestId?: string): void {
  const headers: Record<string, string> = { ...JSON_TYPE };
  if (error.retryAfterS !== undefined) headers['retry-after'] = String(error.retryAfterS);
  if (requestId !== undefined) headers['x-request-id'] = requestId;
  if (error.code === 'method_not_allowed' && error.param !== undefined) headers.allow = error.param;
  exchange.send(error.spec.status, headers, JSON.stringify(openAiErrorFrom(error)));
}

function sendJson(exchange: HttpExchange, body: object): void {
  exchange.send(200, { ...JSON_TYPE }, JSON.stringify(body));
}

function wrongMethod(exchange: HttpExchange, allowed: string): PlatformError {
  return new PlatformError('method_not_allowed', `${exchange.method} ${exchange.path}: expected ${allowed}`, {
    param: allowed,
  });
}

type Named = Pick<VllmDialectOptions, 'core' | 'adapters'>;

function coreFor({ core, adapters }: Named, fields: Fields): EngineCore {
  const model = fields.model ?? core.info.model;
  if (model === core.info.model) return core;
  if (typeof model === 'string' && adapters?.has(model)) return core.adapted?.(model) ?? core;
  if (typeof model !== 'string') throw refuse('model', model, 'the name of a model');
  throw new PlatformError(
    'model_not_found',
    `model: found ${JSON.stringify(model)?.slice(0, 120)}; this engine serves "${core.info.model}"`,
    { param: 'model' },
  );
}

function modelRead(named: Named, startedS: number): (exchange: HttpExchange) => void {
  return (exchange) => {
    const model = unescapePath(exchange.path.slice('/v1/models/'.length));
    coreFor(named, { model });
    sendJson(exchange, modelObjects(named, startedS).find(({ id }) => id === model) ?? {});
  };
}

function modelObjects({ core, adapters }: Named, startedS: number): { id?: string }[] {
  return [modelObject(core, startedS), ...(adapters?.models(core.info, startedS) ?? [])];
}

/** Names that are not valid percent-encoding are looked up as they are. */
function unescapePath(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function modelObject(core: EngineCore, created: number): object {
  const { model, ownedBy, contextLength } = core.info;
  return {
    id: model,
    object: 'model',
    created,
    owned_by: ownedBy,
    root: model,
    parent: null,
    max_model_len: contextLength,
  };
}
