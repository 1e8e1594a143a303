/**
 * The dialect of text-generation-inference 3.3 (router/src/server.rs) for the simulator. What sets it apart: `data:` without a
 * space before JSON, [DONE] also after an error, errors of a streamed request inside a stream of status 200, 422 and 424 where
 * others say 400 and 500, stop strings that stay in the text, and a last message of the assistant that is gone on with unasked.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { isRecord } from '../json/parse-object.ts';
import type { DialectParts, DialectVariant, Work, WorkAnswer } from '../vllm/dialect-variant.ts';
import { type Fields, refuse } from '../vllm/request-fields.ts';
import { sendJson } from '../vllm/send-json.ts';
import type { StreamFormat } from '../vllm/stream-format.ts';
import { TgiShaper } from './event-shapes.ts';
import { renderTgiMetrics } from './metrics-text.ts';
import { answerTgiGenerate, streamTgiGenerate } from './native-generate.ts';

const METRICS_TYPE = 'text/plain; charset=utf-8';
/** axum writes JSON right behind the colon, and a text behind a space. */
const event = (data: object) => `data:${JSON.stringify(data)}\n\n`;
const DONE = 'data: [DONE]\n\n';

const OPENAI_FORMAT: StreamFormat = {
  contentType: 'text/event-stream',
  event,
  done: DONE,
  failure: (error) => event({ error: { message: messageOf(error), http_status_code: 422 } }) + DONE,
};
const NATIVE_FORMAT: StreamFormat = {
  ...OPENAI_FORMAT,
  done: '',
  failure: (error) => event(errorBody(error)),
};

export const tgiVariant: DialectVariant = {
  acceptsModel: () => true,
  openPaths: ['/ping', '/info'],
  reads: (parts) => ({
    '/health': (exchange) => sendHealth(parts, exchange),
    '/ping': (exchange) => sendHealth(parts, exchange),
    '/': (exchange) => sendHealth(parts, exchange),
    '/ready': null,
    '/version': null,
    '/info': (exchange) => sendJson(exchange, info(parts)),
    '/metrics': (exchange) =>
      exchange.send(200, { 'content-type': METRICS_TYPE }, renderTgiMetrics(parts.core)),
    '/v1/models': (exchange) => {
      const { model } = parts.core.info;
      sendJson(exchange, {
        object: 'list',
        data: [{ id: model, object: 'model', created: 0, owned_by: model }],
      });
    },
  }),
  works: (parts) => ({
    '/v1/chat/completions': openAi(parts, 'chat'),
    '/v1/completions': openAi(parts, 'completions'),
    '/v1/embeddings': null,
    '/detokenize': null,
    '/generate': (work) => answerTgiGenerate(parts, work),
    '/generate_stream': inStream(NATIVE_FORMAT, (work) => streamTgiGenerate(parts, work, NATIVE_FORMAT)),
    '/tokenize': ({ exchange, fields }) => sendJson(exchange, tokenize(parts, fields)),
  }),
  sendError: (exchange, error) => {
    if (error.code === 'not_found') return exchange.send(404, {}, '');
    sendJson(exchange, errorBody(error), statusOf(error));
  },
  format: OPENAI_FORMAT,
  createShaper: (spec, identity) => new TgiShaper(spec, identity),
};

function openAi(parts: DialectParts, endpoint: 'chat' | 'completions'): WorkAnswer {
  const answer: WorkAnswer = (work) =>
    parts.generate({ ...work, fields: adapted(work.fields, endpoint) }, endpoint);
  const streamed = inStream(OPENAI_FORMAT, answer);
  return (work) => (work.fields.stream === true ? streamed(work) : answer(work));
}

/** A streamed request has its head before anything is checked, so what is wrong with it is said inside the stream. */
function inStream(format: StreamFormat, answer: WorkAnswer): WorkAnswer {
  return async (work: Work) => {
    try {
      await answer(work);
    } catch (thrown) {
      const { exchange } = work;
      if (exchange.headSent || exchange.clientGone) throw thrown;
      exchange.send(200, { 'content-type': format.contentType }, format.failure(PlatformError.from(thrown)));
    }
  };
}

/** Fields that it does not know are passed over; a last message of the assistant is gone on with, its end trimmed. */
function adapted(fields: Fields, endpoint: 'chat' | 'completions'): Fields {
  const { continue_final_message: _continue, add_generation_prompt: _add, ...rest } = fields;
  const kept = { ...rest, include_stop_str_in_output: true };
  const { messages } = fields;
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  if (endpoint !== 'chat' || !isRecord(last) || last.role !== 'assistant') return kept;
  const content = typeof last.content === 'string' ? last.content.trimEnd() : last.content;
  return {
    ...kept,
    messages: [...(messages as unknown[]).slice(0, -1), { ...last, content }],
    continue_final_message: true,
    add_generation_prompt: false,
  };
}

function sendHealth({ draining }: DialectParts, exchange: HttpExchange): void {
  if (draining) sendJson(exchange, { error: 'unhealthy', error_type: 'healthcheck' }, 503);
  else exchange.send(200, {}, '');
}

function info({ core, release }: DialectParts): object {
  const { model, contextLength } = core.info;
  return {
    model_id: model,
    model_sha: null,
    model_pipeline_tag: 'text-generation',
    max_concurrent_requests: 128,
    max_best_of: 2,
    max_stop_sequences: 4,
    max_input_tokens: contextLength - 1,
    max_total_tokens: contextLength,
    validation_workers: 2,
    max_client_batch_size: 4,
    router: 'text-generation-router',
    version: release,
    sha: null,
    docker_label: null,
  };
}

function tokenize({ core }: DialectParts, { inputs }: Fields): object[] {
  if (typeof inputs !== 'string') throw refuse('inputs', inputs, 'a string');
  let start = 0;
  return core.tokenize(inputs, { parseSpecial: true }).map((id) => {
    const text = new TextDecoder().decode(core.detokenize([id]));
    const token = { id, text, start, stop: start + text.length };
    start = token.stop;
    return token;
  });
}

function statusOf({ code, spec }: PlatformError): number {
  if (code === 'engine_full' || code === 'saturated') return 429;
  if (spec.status === 400) return 422;
  return spec.status === 500 || spec.status === 502 ? 424 : spec.status;
}

function messageOf(error: PlatformError): string {
  switch (statusOf(error)) {
    case 422:
      return `Input validation error: ${error.message}`;
    case 424:
      return `Request failed during generation: Server error: ${error.message}`;
    case 429:
      return 'Model is overloaded';
    default:
      return error.message;
  }
}

const ERROR_TYPES: Readonly<Record<number, string>> = {
  422: 'validation',
  424: 'generation',
  429: 'overloaded',
};

function errorBody(error: PlatformError): object {
  return { error: messageOf(error), error_type: ERROR_TYPES[statusOf(error)] ?? error.code };
}
