/**
 * The Responses API: creates a response by a chat request to an engine, keeps it, and answers for what is kept. A response
 * belongs to the key that created it; to others it does not exist.
 */
import { randomBytes } from 'node:crypto';
import { PlatformError } from '../../../contract/errors.ts';
import type { CanonicalMessage } from '../../../wire/canonical/chat-request.ts';
import { writeJson } from '../../../wire/json/write-json.ts';
import { type Envelope, parseEnvelope } from '../../../wire/openai/envelope.ts';
import { ResponsesTranslator } from '../../../wire/responses/answer-translator.ts';
import { chatMessages } from '../../../wire/responses/chat-messages.ts';
import type { Item } from '../../../wire/responses/input-items.ts';
import { responseIdOf } from '../../../wire/responses/item-ids.ts';
import { refuseField } from '../../../wire/responses/refuse-field.ts';
import {
  chatRequestOf,
  parseResponsesRequest,
  type ResponsesRequest,
} from '../../../wire/responses/request.ts';
import {
  type ResponseBase,
  type ResponseObject,
  responseObject,
} from '../../../wire/responses/response-object.ts';
import { type ApiCall, type ApiContext, type ApiRoute, ownerOf } from '../api-route.ts';
import { countPrompt } from '../count-prompt.ts';
import { poolName } from '../fleet-table.ts';
import { unknownModel } from '../places/refusals.ts';
import { respondJson } from '../respond.ts';
import { earlierItems, loadConversation } from '../responses/conversation.ts';
import { storedStreamReaders, streamStoredEvents } from '../responses/event-tail.ts';
import { ResponsesExchange } from '../responses/responses-exchange.ts';
import { endStored, isRunning, notFound, readResponse } from '../responses/stored-response.ts';
import { serveInference } from '../serve-inference.ts';

const ITEMS_PER_PAGE_DEFAULT = 20;
const ITEMS_PER_PAGE_MAX = 100;

export const responsesRoutes: readonly ApiRoute[] = [
  { method: 'POST', template: '/v1/responses', policy: 'key', idempotent: true, handle: create },
  { method: 'POST', template: '/v1/responses/input_tokens', policy: 'key', handle: countInputTokens },
  { method: 'GET', template: '/v1/responses/{id}', policy: 'key', handle: retrieve },
  { method: 'DELETE', template: '/v1/responses/{id}', policy: 'key', handle: remove },
  { method: 'POST', template: '/v1/responses/{id}/cancel', policy: 'key', handle: cancel },
  { method: 'GET', template: '/v1/responses/{id}/input_items', policy: 'key', handle: listInputItems },
];

interface Creation {
  request: ResponsesRequest;
  base: ResponseBase;
  /** Items of this request, to be stored with it. */
  input: Item[];
  messages: CanonicalMessage[];
}

async function create(gateway: ApiContext, call: ApiCall): Promise<void> {
  const bytes = await readBody(gateway, call);
  const creation = await prepare(gateway, call, bytes);
  if (creation.request.background) await createInBackground(gateway, call, creation);
  else await createNow(gateway, call, creation);
}

async function readBody(gateway: ApiContext, { exchange, record }: ApiCall): Promise<Buffer> {
  const bytes = await exchange.readBody(gateway.settings.bodyBytesMax);
  record.bytesIn = bytes.length;
  return bytes;
}

async function prepare(gateway: ApiContext, call: ApiCall, bytes: Buffer): Promise<Creation> {
  const id = responseIdOf(randomBytes(16).toString('hex'));
  const request = withStoreSetting(gateway, parseResponsesRequest(bytes, id));
  if (gateway.table.find(request.model) === undefined) throw unknownModel(request.model, gateway.table.names);
  const { earlier, input } = await loadConversation(gateway, ownerOf(call), request);
  const messages = chatMessages(request.instructions, [...earlier, ...input]);
  if (messages.length === 0) throw refuseField('input', [], 'at least one item');
  const createdAtS = Math.floor(gateway.clock.wallMs() / 1_000);
  return { request, base: { id, createdAtS, echo: request.echo }, input, messages };
}

function withStoreSetting(gateway: ApiContext, request: ResponsesRequest): ResponsesRequest {
  if (gateway.settings.responsesTtlMs > 0) return request;
  if (request.background)
    throw refuseField(
      'background',
      true,
      'false: this gateway stores no responses (gateway.responses_ttl_h is 0)',
    );
  return { ...request, store: false, echo: { ...request.echo, store: false } };
}

function envelopeOf({ request, messages }: Creation): Envelope {
  return parseEnvelope('chat', Buffer.from(writeJson('body', chatRequestOf(request, messages))));
}

async function createNow(gateway: ApiContext, call: ApiCall, creation: Creation): Promise<void> {
  const { exchange, record } = call;
  const { request, base } = creation;
  const translator = new ResponsesTranslator(base, () => Math.floor(gateway.clock.wallMs() / 1_000));
  const keep = async (response: ResponseObject): Promise<ResponseObject> => {
    if (!request.store) return response;
    try {
      await store(gateway, call, creation, { response, eventsKept: false, aliveAtMs: null });
      return response;
    } catch (error) {
      // The answer is worth more than its copy.
      gateway.logError(
        'a response could not be stored; it was answered all the same',
        error,
        record.requestId,
      );
      return { ...response, store: false };
    }
  };
  const translated = new ResponsesExchange(exchange, translator, keep);
  await serveInference(gateway, translated, envelopeOf(creation), record);
}

async function createInBackground(gateway: ApiContext, call: ApiCall, creation: Creation): Promise<void> {
  const { exchange, record } = call;
  const { base, request } = creation;
  const envelope = envelopeOf(creation);
  const pool = gateway.table.find(request.model);
  if (pool === undefined) throw unknownModel(request.model, gateway.table.names);
  record.model = poolName(pool);
  record.stream = request.stream;
  // What is refused is refused now, not in an answer that is read later.
  await gateway.limits.admit(record, pool, envelope);
  const response = responseObject(base, { status: 'queued', output: [], usage: null });
  // Before the run: it would go on when its client is refused.
  using _reader = request.stream ? storedStreamReaders.take() : undefined;
  {
    using _place = gateway.background.reserve();
    await store(gateway, call, creation, {
      response,
      eventsKept: request.stream,
      aliveAtMs: gateway.clock.wallMs(),
    });
  }
  gateway.background.start({
    base,
    envelope,
    headers: { traceparent: exchange.headers.traceparent },
    keepEvents: request.stream,
    record,
  });
  if (request.stream) await streamStoredEvents(gateway, call, { id: base.id, owner: ownerOf(call) }, -1);
  else respondJson(exchange, record, 200, response, record.hold?.headers(record.dialect));
}

function store(
  gateway: ApiContext,
  call: ApiCall,
  { request, input }: Creation,
  state: { response: ResponseObject; eventsKept: boolean; aliveAtMs: number | null },
): Promise<void> {
  const nowMs = gateway.clock.wallMs();
  return gateway.stores.responses.create({
    id: state.response.id,
    owner: ownerOf(call),
    status: state.response.status,
    previousId: request.previousResponseId,
    createdAtMs: nowMs,
    expiresAtMs: nowMs + gateway.settings.responsesTtlMs,
    inputJson: JSON.stringify(input),
    responseJson: JSON.stringify(state.response),
    eventsKept: state.eventsKept,
    aliveAtMs: state.aliveAtMs,
  });
}

async function retrieve(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { exchange, record, params } = call;
  const query = new URLSearchParams(exchange.query);
  const key = { id: params.id ?? '', owner: ownerOf(call) };
  const stored = await readResponse(gateway, key);
  if (query.get('stream') !== 'true') return respondStored(call, stored.responseJson);
  if (!stored.eventsKept)
    throw refuseField('stream', true, 'a response that was created with background and stream both true');
  record.stream = true;
  using _reader = storedStreamReaders.take();
  await streamStoredEvents(gateway, call, key, startingAfter(query));
}

function startingAfter(query: URLSearchParams): number {
  const text = query.get('starting_after');
  if (text === null) return -1;
  if (!/^\d{1,9}$/.test(text)) throw refuseField('starting_after', text, 'a sequence_number');
  return Number(text);
}

function respondStored({ exchange, record }: ApiCall, responseJson: string): void {
  record.status = 200;
  record.outcome = 'completed';
  record.bytesOut = responseJson.length;
  exchange.send(200, { 'content-type': 'application/json', 'x-request-id': record.requestId }, responseJson);
}

async function remove(gateway: ApiContext, call: ApiCall): Promise<void> {
  const id = call.params.id ?? '';
  const removed = await gateway.stores.responses.remove({ id, owner: ownerOf(call) });
  if (!removed) throw notFound(id);
  gateway.cancelBackground(id);
  respondJson(call.exchange, call.record, 200, { id, object: 'response', deleted: true });
}

async function cancel(gateway: ApiContext, call: ApiCall): Promise<void> {
  const stored = await readResponse(gateway, { id: call.params.id ?? '', owner: ownerOf(call) });
  const { background } = JSON.parse(stored.responseJson) as { background: boolean };
  if (!background)
    throw new PlatformError(
      'invalid_request',
      'Only responses that were created with background=true can be cancelled.',
    );
  if (!isRunning(stored)) return respondStored(call, stored.responseJson);
  const ended = await endStored(gateway, stored, { status: 'cancelled' });
  gateway.cancelBackground(stored.id);
  respondStored(call, ended.responseJson);
}

async function listInputItems(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { exchange, record, params } = call;
  const query = new URLSearchParams(exchange.query);
  const owner = ownerOf(call);
  const stored = await readResponse(gateway, { id: params.id ?? '', owner });
  const earlier =
    stored.previousId === null ? [] : await earlierItems(gateway, { id: stored.previousId, owner });
  const items = [...earlier, ...(JSON.parse(stored.inputJson) as Item[])];
  const order = query.get('order') ?? 'desc';
  if (order !== 'asc' && order !== 'desc') throw refuseField('order', order, '"asc" or "desc"');
  if (order === 'desc') items.reverse();
  const { data, hasMore } = pageOf(items, query);
  respondJson(exchange, record, 200, {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  });
}

function pageOf(items: readonly Item[], query: URLSearchParams): { data: Item[]; hasMore: boolean } {
  const text = query.get('limit') ?? String(ITEMS_PER_PAGE_DEFAULT);
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > ITEMS_PER_PAGE_MAX)
    throw refuseField('limit', text, `a number from 1 to ${ITEMS_PER_PAGE_MAX}`);
  const after = query.get('after');
  const at = after === null ? -1 : items.findIndex(({ id }) => id === after);
  if (after !== null && at < 0) throw refuseField('after', after, 'the id of an item in this list');
  const data = items.slice(at + 1, at + 1 + limit);
  return { data, hasMore: at + 1 + limit < items.length };
}

async function countInputTokens(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { exchange, record } = call;
  const bytes = await readBody(gateway, call);
  const { request, messages } = await prepare(gateway, call, bytes);
  const pool = gateway.table.find(request.model);
  if (pool === undefined) throw unknownModel(request.model, gateway.table.names);
  record.model = poolName(pool);
  const { tools } = request.chat;
  const count = await countPrompt(gateway, exchange, pool, {
    messages,
    ...(tools !== undefined && { tools }),
  });
  respondJson(exchange, record, 200, { object: 'response.input_tokens', input_tokens: count });
}
