/**
 * The dialect of Ollama, August 2026 (server/routes.go, openai/openai.go) for the simulator: no /health and no /metrics, models
 * by tag, native end points in lines of JSON, and OpenAI end points that pass over every field they do not know, so that an
 * answer is never gone on with.
 */
import type { PlatformError } from '../../contract/errors.ts';
import { sseData } from '../sse/parse-event.ts';
import type { DialectParts, DialectVariant, WorkAnswer } from '../vllm/dialect-variant.ts';
import { type Fields, refuse } from '../vllm/request-fields.ts';
import { sendJson } from '../vllm/send-json.ts';
import { OPENAI_STREAM } from '../vllm/stream-format.ts';
import { OllamaShaper } from './event-shapes.ts';
import { answerOllamaChat, answerOllamaGenerate } from './native-answers.ts';

export const ollamaVariant: DialectVariant = {
  openPaths: ['/', '/api/version'],
  acceptsModel: (asked, served) => tagged(asked) === tagged(served),
  reads: (parts) => ({
    '/': (exchange) => exchange.send(200, { 'content-type': TEXT }, 'Ollama is running'),
    '/api/version': (exchange) => sendJson(exchange, { version: parts.release }),
    '/api/tags': (exchange) => sendJson(exchange, { models: [modelEntry(parts)] }),
    '/api/ps': (exchange) => sendJson(exchange, { models: [{ ...modelEntry(parts), size_vram: 0 }] }),
    '/v1/models': (exchange) => {
      const { model } = parts.core.info;
      const entry = { id: tagged(model), object: 'model', created: parts.startedS, owned_by: 'library' };
      sendJson(exchange, { object: 'list', data: [entry] });
    },
    '/health': null,
    '/ready': null,
    '/version': null,
    '/metrics': null,
  }),
  works: (parts) => ({
    '/v1/chat/completions': openAi(parts, 'chat'),
    '/v1/completions': openAi(parts, 'completions'),
    '/api/generate': (work) => answerOllamaGenerate(parts, work),
    '/api/chat': (work) => answerOllamaChat(parts, work),
    '/tokenize': null,
    '/detokenize': null,
  }),
  sendError: (exchange, error) => {
    if (error.code === 'not_found' || error.code === 'method_not_allowed')
      return exchange.send(404, { 'content-type': TEXT }, '404 page not found');
    const native = exchange.path.startsWith('/api/');
    sendJson(
      exchange,
      native ? { error: messageOf(error) } : { error: errorObject(error) },
      error.spec.status,
    );
  },
  format: {
    ...OPENAI_STREAM,
    contentType: 'text/event-stream',
    failure: (error) => sseData({ error: errorObject(error) }),
  },
  createShaper: (spec, identity) => new OllamaShaper(spec, identity),
};

const TEXT = 'text/plain; charset=utf-8';

function openAi(parts: DialectParts, endpoint: 'chat' | 'completions'): WorkAnswer {
  return (work) => parts.generate({ ...work, fields: adapted(parts, work.fields, endpoint) }, endpoint);
}

function adapted({ core }: DialectParts, fields: Fields, endpoint: 'chat' | 'completions'): Fields {
  const { continue_final_message: _continue, add_generation_prompt: _add, echo: _echo, ...rest } = fields;
  if (endpoint === 'chat') return rest;
  const { prompt } = fields;
  if (typeof prompt !== 'string') throw refuse('prompt', prompt, 'a string');
  const options = { addGenerationPrompt: true, continueFinalMessage: false };
  return { ...rest, prompt: core.renderChat([{ role: 'user', content: prompt }], options) };
}

function tagged(model: string): string {
  return model.includes(':') ? model : `${model}:latest`;
}

function modelEntry({ core, startedS }: DialectParts): Record<string, unknown> {
  const name = tagged(core.info.model);
  return {
    name,
    model: name,
    modified_at: new Date(startedS * 1000).toISOString(),
    size: 0,
    digest: '0'.repeat(64),
    details: { format: 'gguf', family: 'simulated', quantization_level: 'Q8_0' },
  };
}

function errorObject(error: PlatformError): object {
  const { status } = error.spec;
  const type = status === 400 ? 'invalid_request_error' : status === 404 ? 'not_found_error' : 'api_error';
  return { message: messageOf(error), type, param: null, code: null };
}

function messageOf(error: PlatformError): string {
  switch (error.code) {
    case 'model_not_found':
      return 'model not found, try pulling it first';
    case 'engine_full':
    case 'saturated':
      return 'server busy, please try again.  maximum pending requests exceeded';
    default:
      return error.message;
  }
}
