/**
 * The dialect of SGLang 0.5.23 (srt/entrypoints/http_server.py) for the simulator: its paths, health, flat error objects and
 * native end points, over the OpenAI end points that it shares with vLLM.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { textFrom } from '../json/scalars.ts';
import { sseData } from '../sse/parse-event.ts';
import { classification } from '../vllm/answer-classification.ts';
import { bodyOf } from '../vllm/dev-calls.ts';
import type { DialectParts, DialectVariant, WorkAnswer } from '../vllm/dialect-variant.ts';
import { sendJson } from '../vllm/send-json.ts';
import { OPENAI_STREAM } from '../vllm/stream-format.ts';
import { sglangAdapterCalls, sglangAdapterOf } from './adapters.ts';
import { SglangShaper } from './event-shapes.ts';
import { renderSglangMetrics } from './metrics-text.ts';
import { answerNativeGenerate } from './native-generate.ts';

const HEALTH_GENERATE_TIMEOUT_MS = 20_000;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** @param metrics `--enable-metrics` */
export const sglangVariant = (metrics: boolean): DialectVariant => ({
  acceptsModel: () => true,
  adapterOf: sglangAdapterOf,
  openPaths: ['/health_generate', '/model_info', '/get_model_info'],
  reads: (parts) => ({
    '/health': (exchange) => exchange.send(parts.draining ? 503 : 200, {}, ''),
    '/ready': (exchange) => exchange.send(parts.draining ? 503 : 200, {}, ''),
    '/health_generate': (exchange) => healthGenerate(parts, exchange),
    '/version': null,
    '/model_info': (exchange) => sendJson(exchange, modelInfo(parts)),
    '/get_model_info': (exchange) => sendJson(exchange, modelInfo(parts)),
    '/server_info': (exchange) => sendJson(exchange, { ...modelInfo(parts), version: parts.release }),
    '/get_server_info': (exchange) => sendJson(exchange, { ...modelInfo(parts), version: parts.release }),
    '/metrics': metrics
      ? (exchange) => exchange.send(200, { 'content-type': METRICS_TYPE }, renderSglangMetrics(parts.core))
      : null,
    '/v1/models': (exchange) => sendJson(exchange, { object: 'list', data: modelCards(parts) }),
  }),
  works: (parts) => ({
    '/generate': (work) => answerNativeGenerate(parts, work),
    '/v1/chat/completions': refusingStreamedIds(parts),
    '/v1/classify': classification(parts.core, parts.clock),
    // Scores of a reward model, with fields of its own.
    '/classify': null,
  }),
  calls: ({ core, running, adapters }) => ({
    ...(adapters !== undefined && sglangAdapterCalls(adapters)),
    '/flush_cache': (exchange) => {
      if (core.clearCache?.() === true) exchange.send(200, {}, CACHE_FLUSHED);
      else exchange.send(400, {}, 'Flush cache failed.\n');
    },
    '/abort_request': async (exchange) => {
      const { rid, abort_all: all } = await bodyOf(exchange);
      running.abort(all === true ? 'all' : [textFrom(rid)]);
      exchange.send(200, {}, '');
    },
    '/pause_generation': (exchange) => {
      running.paused = true;
      running.abort('all');
      sendJson(exchange, { message: 'Generation paused successfully.', status: 'ok' });
    },
    '/continue_generation': (exchange) => {
      running.paused = false;
      sendJson(exchange, { message: 'Generation continued successfully.', status: 'ok' });
    },
  }),
  sendError: (exchange, error) => {
    if (error.code === 'not_found') return sendJson(exchange, { detail: 'Not Found' }, 404);
    sendJson(exchange, errorObject(error), error.spec.status);
  },
  format: { ...OPENAI_STREAM, failure: (error) => sseData({ error: errorObject(error) }) },
  createShaper: (spec, identity) => new SglangShaper(spec, identity),
});

const CACHE_FLUSHED =
  'Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, the operation will not be performed.)\n';

/** One token, or 503 after 20 s; while other requests are served it answers with the next token of any. */
async function healthGenerate({ core, draining }: DialectParts, exchange: HttpExchange): Promise<void> {
  if (draining) return exchange.send(503, {}, '');
  const before = core.metrics().generationTokensTotal;
  const prompt = { promptTokens: [0], maxTokens: 1, minTokens: 0, stopTokenIds: [], ignoreEos: true };
  const sampling = {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    seed: undefined,
    presencePenalty: 0,
    frequencyPenalty: 0,
    repetitionPenalty: 1,
    logitBias: {},
  };
  const rest = { topLogprobs: undefined, jsonSchema: undefined, priority: 0 };
  try {
    const request = { requestId: 'HEALTH_CHECK', ...prompt, sampling, ...rest };
    for await (const tokens of core.generate(request, AbortSignal.timeout(HEALTH_GENERATE_TIMEOUT_MS)))
      if (tokens.length > 0) break;
    exchange.send(200, {}, '');
  } catch {
    exchange.send(core.metrics().generationTokensTotal > before ? 200 : 503, {}, '');
  }
}

/** Streamed chat cannot return token ids there. */
function refusingStreamedIds(parts: DialectParts): WorkAnswer {
  return (work) => {
    if (work.fields.stream === true && work.fields.return_token_ids === true)
      throw new PlatformError(
        'invalid_request',
        'return_token_ids is not supported with streaming on /v1/chat/completions. Please set stream=false when using return_token_ids=true.',
      );
    return parts.generate(work, 'chat');
  };
}

function errorObject(error: PlatformError): object {
  const { status } = error.spec;
  const type =
    status < 500 ? 'BadRequestError' : status === 503 ? 'ServiceUnavailable' : 'InternalServerError';
  return { object: 'error', message: error.message, type, param: error.param ?? null, code: status };
}

function modelInfo({ core }: DialectParts): Record<string, unknown> {
  return {
    model_path: core.info.model,
    served_model_name: core.info.model,
    tokenizer_path: core.info.model,
    is_generation: true,
    preferred_sampling_params: null,
    weight_version: 'default',
  };
}

function modelCards({ core, startedS, adapters }: DialectParts): object[] {
  const { model } = core.info;
  return [
    modelCard(core.info, startedS),
    ...(adapters?.models({ model, ownedBy: 'sglang' }, startedS) ?? []),
  ];
}

function modelCard(
  { model, contextLength }: { model: string; contextLength: number },
  created: number,
): object {
  return {
    id: model,
    object: 'model',
    created,
    owned_by: 'sglang',
    root: model,
    parent: null,
    max_model_len: contextLength,
  };
}
