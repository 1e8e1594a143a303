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
import { adapterCalls } from './adapter-calls.ts';
import type { AdapterShelf } from './adapters.ts';
import { classification } from './answer-classification.ts';
import { answerEmbeddings } from './answer-embeddings.ts';
import { answerGeneration } from './answer-generation.ts';
import { answerRerank, answerScore } from './answer-similarity.ts';
import { answerDetokenize, answerTokenize } from './answer-tokens.ts';
import { checkBearer } from './bearer-key.ts';
import { devCalls } from './dev-calls.ts';
import type { DialectParts, DialectVariant, Read, Work, WorkAnswer } from './dialect-variant.ts';
import { renderMetrics } from './metrics-text.ts';
import { parseChat, parseCompletions, type SamplingDefaults } from './parse-generation.ts';
import { type Fields, refuse } from './request-fields.ts';
import { createSingleRun } from './run-single.ts';
import { RunningRequests } from './running-requests.ts';
import { sendJson } from './send-json.ts';

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
  /** Another engine's dialect in place of vLLM's. */
  variant?: DialectVariant;
  /** The calls that vLLM has with VLLM_SERVER_DEV_MODE=1. Default false. */
  devMode?: boolean;
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

export function createVllmDialect(options: VllmDialectOptions): VllmDialect {
  const { core, clock, variant } = options;
  const sampling = options.sampling ?? { temperature: 1 };
  const startedS = Math.floor(clock.wallMs() / 1000);
  const state = { draining: false, stoppedByString: 0, requests: 0 };
  const running = new RunningRequests();
  const onStopString = () => {
    state.stoppedByString++;
  };
  const parserOf = (endpoint: 'chat' | 'completions') => (endpoint === 'chat' ? parseChat : parseCompletions);

  const generate = (work: Work, endpoint: 'chat' | 'completions') => {
    const spec = parserOf(endpoint)(work.core, work.fields, sampling);
    refuseWhenFull();
    return answerGeneration(
      {
        core: work.core,
        clock,
        exchange: work.exchange,
        signal: work.signal,
        requestId: work.requestId,
        stallMs: options.stallMs ?? 60_000,
        onStopString,
        ...(variant !== undefined && {
          createShaper: (spec, identity) => variant.createShaper(spec, identity, work.core),
          format: variant.format,
        }),
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

  const parts: DialectParts = {
    core,
    clock,
    startedS,
    release: options.release,
    adapters: options.adapters,
    running,
    get draining() {
      return state.draining;
    },
    generate,
    runSingle: ({ core: named, signal, requestId }, endpoint, fields) => {
      const spec = parserOf(endpoint)(named, fields, sampling);
      refuseWhenFull();
      return createSingleRun({ core: named, spec, requestId, signal, onStopString });
    },
    get stoppedByString() {
      return state.stoppedByString;
    },
  };

  const reads: Record<string, Read | null> = {
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
    ...variant?.reads(parts),
  };

  const works: Record<string, WorkAnswer | null> = {
    '/v1/chat/completions': (work) => generate(work, 'chat'),
    '/v1/completions': (work) => generate(work, 'completions'),
    '/v1/embeddings': async ({ core: named, exchange, fields, signal }) =>
      sendJson(exchange, await answerEmbeddings(named, fields, signal)),
    ...alike(['/v1/rerank', '/v2/rerank', '/rerank'], async ({ exchange, fields, signal, requestId }) =>
      sendJson(exchange, await answerRerank(core, fields, { signal, id: `rerank-${requestId}` })),
    ),
    ...alike(['/v1/score', '/score'], async ({ exchange, fields, signal, requestId }) =>
      sendJson(
        exchange,
        await answerScore(core, fields, {
          signal,
          id: `score-${requestId}`,
          created: Math.floor(clock.wallMs() / 1000),
        }),
      ),
    ),
    '/classify': classification(core, clock),
    '/tokenize': ({ exchange, fields }) => sendJson(exchange, answerTokenize(core, fields)),
    '/detokenize': ({ exchange, fields }) => sendJson(exchange, answerDetokenize(core, fields)),
    ...variant?.works(parts),
  };

  const calls: Record<string, Read> = {
    ...(options.adapters !== undefined && variant === undefined && adapterCalls(options.adapters)),
    ...(options.devMode === true && devCalls(parts)),
    ...variant?.calls?.(parts),
  };

  const knownPaths = [reads, works, calls]
    .flatMap((table) => Object.keys(table).filter((path) => table[path] !== null))
    .join(', ');

  const answerWork = async (
    exchange: HttpExchange,
    requestId: string,
    answer: WorkAnswer,
    gone: AbortController,
  ) => {
    exchange.onClientGone(() =>
      gone.abort(new PlatformError('client_closed', 'the client closed the connection')),
    );
    if (exchange.clientGone) return;
    const fields = parseJsonObject(await exchange.readBody(BODY_BYTES_MAX));
    const named = coreFor(options, fields);
    if (state.draining || running.paused) {
      const why = state.draining ? 'the engine is being stopped' : 'generation is paused';
      throw new PlatformError('shutting_down', why, { retryAfterS: 1 });
    }
    await answer({ exchange, fields, core: named, signal: gone.signal, requestId });
  };

  const route = async (exchange: HttpExchange, requestId: string): Promise<void> => {
    const { path, method } = exchange;
    const open = OPEN_PATHS.has(path) || variant?.openPaths?.includes(path) === true;
    if (options.apiKey !== undefined && !open) checkBearer(exchange.headers, options.apiKey);
    const read = path.startsWith('/v1/models/') ? modelRead(options, startedS) : own(reads, path);
    const work = own(works, path);
    const call = own(calls, variant?.keyOf?.(path) ?? path);
    const reading = method === 'GET' || method === 'HEAD';
    if (read !== undefined && (reading || (work === undefined && call === undefined))) {
      if (!reading) throw wrongMethod(exchange, 'GET');
      await read(exchange);
    } else if (work !== undefined) {
      if (method !== 'POST') throw wrongMethod(exchange, 'POST');
      await running.run(requestId, (abort) => answerWork(exchange, requestId, work, abort));
    } else if (call !== undefined) {
      await call(exchange);
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
        (variant?.sendError ?? sendError)(exchange, error, requestId);
      });
    },
    get active() {
      return running.size;
    },
    drain: () => {
      state.draining = true;
      return running.untilIdle();
    },
  };
}

/** Several paths with one answer. */
function alike<T>(paths: readonly string[], answer: T): Record<string, T> {
  return Object.fromEntries(paths.map((path) => [path, answer]));
}

/** Null and absent are the same: not there. */
function own<Entry>(table: Readonly<Record<string, Entry | null>>, key: string): Entry | undefined {
  return Object.hasOwn(table, key) ? (table[key] ?? undefined) : undefined;
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

function wrongMethod(exchange: HttpExchange, allowed: string): PlatformError {
  return new PlatformError('method_not_allowed', `${exchange.method} ${exchange.path}: expected ${allowed}`, {
    param: allowed,
  });
}

type Named = Pick<VllmDialectOptions, 'core' | 'adapters' | 'variant'>;

function coreFor({ core, adapters, variant }: Named, fields: Fields): EngineCore {
  const model = fields.model ?? core.info.model;
  if (model === core.info.model) return core;
  const adapter = typeof model === 'string' ? (variant?.adapterOf?.(model) ?? model) : undefined;
  if (adapter !== undefined && adapters?.has(adapter)) return core.adapted?.(adapter) ?? core;
  if (typeof model !== 'string') throw refuse('model', model, 'the name of a model');
  if (variant?.acceptsModel?.(model, core.info.model) === true) return core;
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
