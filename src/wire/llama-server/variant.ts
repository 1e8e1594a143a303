/**
 * The dialect of llama-server, build 11434 (tools/server, and runs of that build): its paths, errors with code and type,
 * 503 "Loading model" on every path until the weights are there, slots that are read and erased.
 */
import type { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { sseData } from '../sse/parse-event.ts';
import type { DialectParts, DialectVariant, Read } from '../vllm/dialect-variant.ts';
import { parseMessages } from '../vllm/parse-messages.ts';
import { checkTokenIds, type Fields, refuse } from '../vllm/request-fields.ts';
import { sendJson } from '../vllm/send-json.ts';
import { OPENAI_STREAM } from '../vllm/stream-format.ts';
import { LLAMA_FINGERPRINT, LlamaServerShaper } from './event-shapes.ts';
import { renderLlamaServerMetrics } from './metrics-text.ts';
import { answerNativeCompletion } from './native-completion.ts';

export interface LlamaServerOptions {
  /** `--parallel` */
  slots: number;
  /** `--metrics` */
  metrics: boolean;
  /** `--slot-save-path` was given, without which slots cannot be erased. */
  slotActions: boolean;
}

export function llamaServerVariant(options: LlamaServerOptions): DialectVariant {
  return {
    acceptsModel: () => true,
    openPaths: ['/v1/health', '/models', '/v1/models'],
    reads: (parts) => reads(parts, options),
    works: (parts) => ({
      '/completion': (work) => answerNativeCompletion(parts, work),
      '/completions': (work) => answerNativeCompletion(parts, work),
      '/chat/completions': (work) => parts.generate(work, 'chat'),
      '/tokenize': ({ exchange, fields }) => sendJson(exchange, tokenize(parts, fields)),
      '/detokenize': ({ exchange, fields }) => sendJson(exchange, detokenize(parts, fields)),
      '/apply-template': ({ exchange, fields }) => sendJson(exchange, applyTemplate(parts, fields)),
    }),
    calls: (parts) => ({ '/slots/:id': (exchange) => answerSlot(parts, options, exchange) }),
    keyOf: (path) => (/^\/slots\/[^/]+$/.test(path) ? '/slots/:id' : path),
    sendError: (exchange, error) => {
      if (error.code === 'not_found' || error.code === 'method_not_allowed') return sendNotFound(exchange);
      sendJson(exchange, { error: errorObject(error) }, error.spec.status);
    },
    format: {
      ...OPENAI_STREAM,
      contentType: 'text/event-stream',
      failure: (error) => sseData({ error: errorObject(error) }),
    },
    createShaper: (spec, identity, core) => new LlamaServerShaper(spec, identity, core),
  };
}

/** Every path, as long as the model is being loaded. */
export function llamaServerLoading(exchange: HttpExchange): void {
  sendJson(exchange, { error: { message: 'Loading model', type: 'unavailable_error', code: 503 } }, 503);
}

function reads(parts: DialectParts, { slots, metrics }: LlamaServerOptions): Record<string, Read | null> {
  const { core, startedS } = parts;
  const { model, contextLength, vocabularySize } = core.info;
  const health: Read = (exchange) => sendJson(exchange, { status: 'ok' });
  const models: Read = (exchange) =>
    sendJson(exchange, {
      models: [{ name: model, model, type: 'model', capabilities: ['completion'] }],
      object: 'list',
      data: [
        {
          id: model,
          aliases: [model],
          tags: [],
          object: 'model',
          created: startedS,
          owned_by: 'llamacpp',
          meta: { n_vocab: vocabularySize, n_ctx: contextLength, n_ctx_train: contextLength },
        },
      ],
    });
  return {
    '/health': health,
    '/v1/health': health,
    '/models': models,
    '/v1/models': models,
    '/ready': null,
    '/version': null,
    '/metrics': (exchange) => {
      if (!metrics) return sendUnsupported(exchange, 'metrics endpoint', '--metrics');
      const type = 'text/plain; version=0.0.4';
      exchange.send(200, { 'content-type': type }, renderLlamaServerMetrics(core));
    },
    '/props': (exchange) =>
      sendJson(exchange, {
        default_generation_settings: { params: { temperature: 0.8 }, n_ctx: contextLength },
        total_slots: slots,
        model_alias: model,
        model_path: model,
        build_info: LLAMA_FINGERPRINT,
      }),
    '/slots': (exchange) => {
      const { running } = core.metrics();
      const list = Array.from({ length: slots }, (_, id) => ({
        id,
        n_ctx: contextLength,
        speculative: false,
        is_processing: id < running,
      }));
      sendJson(exchange, list);
    },
  };
}

async function answerSlot(
  { core, running }: DialectParts,
  { slotActions }: LlamaServerOptions,
  exchange: HttpExchange,
): Promise<void> {
  if (exchange.method !== 'POST') return sendNotFound(exchange);
  if (!slotActions) return sendUnsupported(exchange, 'slots action', '--slot-save-path');
  const action = new URLSearchParams(exchange.query).get('action');
  if (action !== 'erase') throw refuse('action', action, '"erase": the simulator saves and restores nothing');
  // The task of a slot that is busy waits for its end.
  if (core.clearCache?.() !== true) await running.untilIdle();
  core.clearCache?.();
  sendJson(exchange, { id_slot: Number(exchange.path.split('/').at(-1)), n_erased: 0 });
}

function sendNotFound(exchange: HttpExchange): void {
  sendJson(exchange, { error: { message: 'File Not Found', type: 'not_found_error', code: 404 } }, 404);
}

function sendUnsupported(exchange: HttpExchange, what: string, option: string): void {
  const message = `This server does not support ${what}. Start it with \`${option}\``;
  sendJson(exchange, { error: { code: 501, message, type: 'not_supported_error' } }, 501);
}

function tokenize({ core }: DialectParts, { content, with_pieces: withPieces }: Fields): object {
  if (typeof content !== 'string') throw refuse('content', content, 'a string');
  const ids = core.tokenize(content, { parseSpecial: true });
  const piece = (id: number) => new TextDecoder().decode(core.detokenize([id]));
  return { tokens: withPieces === true ? ids.map((id) => ({ id, piece: piece(id) })) : ids };
}

function detokenize({ core }: DialectParts, { tokens }: Fields): object {
  if (!Array.isArray(tokens)) throw refuse('tokens', tokens, 'an array of token ids');
  const ids = checkTokenIds('tokens', tokens, core.info.vocabularySize);
  return { content: new TextDecoder().decode(core.detokenize(ids)) };
}

function applyTemplate({ core }: DialectParts, fields: Fields): object {
  const options = { addGenerationPrompt: true, continueFinalMessage: false };
  const ids = core.renderChat(parseMessages(fields), options);
  return { prompt: ids.map((id) => core.tokenText?.(id) ?? '').join('') };
}

const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  501: 'not_supported_error',
  503: 'unavailable_error',
};

function errorObject(error: PlatformError): object {
  const { status } = error.spec;
  const tooLong = error.code === 'context_length_exceeded';
  const type = tooLong ? 'exceed_context_size_error' : (ERROR_TYPES[status] ?? 'server_error');
  return { code: status, message: error.message, type };
}
