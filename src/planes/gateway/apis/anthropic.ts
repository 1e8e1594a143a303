/**
 * The Messages API of Anthropic's clients: requests are translated into the OpenAI dialect, which the request loop and all
 * engines speak, and answers back. Continuation, retries and queueing are those of every other request.
 */

import { PlatformError } from '../../../contract/errors.ts';
import { translateCountRequest, translateRequest } from '../../../wire/anthropic/request.ts';
import { AnthropicTranslator } from '../../../wire/anthropic/translator.ts';
import type { RequestTraits } from '../../../wire/canonical/chat-request.ts';
import { parseJsonObject, showFound } from '../../../wire/json/parse-object.ts';
import { writeJson } from '../../../wire/json/write-json.ts';
import { parseEnvelope } from '../../../wire/openai/envelope.ts';
import type { ApiCall, ApiContext, ApiRoute } from '../api-route.ts';
import { countPrompt } from '../count-prompt.ts';
import { TranslatedExchange } from '../dialects/translated-exchange.ts';
import type { PoolEntry } from '../fleet-table.ts';
import { poolName } from '../fleet-table.ts';
import { unknownModel } from '../places/refusals.ts';
import { respondJson } from '../respond.ts';
import { serveInference } from '../serve-inference.ts';

export const anthropicRoutes: readonly ApiRoute[] = [
  {
    method: 'POST',
    template: '/v1/messages',
    policy: 'key',
    errors: 'anthropic',
    idempotent: true,
    handle: createMessage,
  },
  {
    method: 'POST',
    template: '/v1/messages/count_tokens',
    policy: 'key',
    errors: 'anthropic',
    handle: countTokens,
  },
];

async function createMessage(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { exchange, record } = call;
  const { fields, pool } = await readRequest(gateway, call);
  const { body, stopSequences, thinking } = translateRequest(fields, traitsOf(pool));
  const { requestId } = record;
  const translator = new AnthropicTranslator({ model: body.model, requestId, stopSequences, thinking });
  const translated = new TranslatedExchange(exchange, translator, { 'request-id': requestId }, () => {
    // Whoever keeps the answer must know that it is none.
    record.errorCode ??= translator.failure?.code ?? null;
  });
  const envelope = parseEnvelope('chat', Buffer.from(writeJson('body', body)));
  await serveInference(gateway, translated, envelope, record);
  record.bytesOut = translated.bytesOut;
  if (record.outcome === 'cancelled-by-client') return;
  if (translated.status !== 0) record.status = translated.status;
  const { failure } = translator;
  if (failure === null || record.outcome !== 'completed') return;
  if (failure.code === 'internal')
    gateway.logError('an answer was not translated, by a bug', failure, requestId);
  record.outcome = failure.code === 'internal' ? 'failed-internal' : 'failed-by-engine';
  record.errorCode = failure.code;
}

async function countTokens(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { exchange, record } = call;
  const { fields, pool } = await readRequest(gateway, call);
  record.model = poolName(pool);
  const body = translateCountRequest(fields, traitsOf(pool));
  const count = await countPrompt(gateway, exchange, pool, body);
  respondJson(exchange, record, 200, { input_tokens: count }, { 'request-id': record.requestId });
}

async function readRequest(
  gateway: ApiContext,
  { exchange, record }: ApiCall,
): Promise<{ fields: Record<string, unknown>; pool: PoolEntry }> {
  const bytes = await exchange.readBody(gateway.settings.bodyBytesMax);
  record.bytesIn = bytes.length;
  const fields = parseJsonObject(bytes);
  const { model } = fields;
  if (typeof model !== 'string') {
    const message = `model: found ${showFound(model)}; expected the name of a model, which GET /v1/models lists`;
    throw new PlatformError('invalid_request', message, { param: 'model' });
  }
  const pool = gateway.table.find(model);
  if (pool === undefined) throw unknownModel(model, gateway.table.names);
  return { fields, pool };
}

/** What every replica of the pool can do, for it is not known yet which one answers. */
function traitsOf({ view }: PoolEntry): RequestTraits {
  const capabilities = view.replicas.map((replica) => replica.capabilities);
  return {
    prefill: capabilities.every(({ chatContinuation }) => chatContinuation),
    lenientFields: capabilities.every(({ lenientFields }) => lenientFields === true),
  };
}
