/** Batches: created, listed, read and cancelled here; what runs them is the batch runner of the node process. */
import { opaqueId } from '../../../base/opaque-id.ts';
import { PlatformError } from '../../../contract/errors.ts';
import { BATCH_ENDINGS, newBatch } from '../../../contract/ports/batch-store.ts';
import { parseJsonObject } from '../../../wire/json/parse-object.ts';
import { batchObject, readBatchRequest } from '../../../wire/openai/batch/batch-object.ts';
import { listPage, readPageQuery, unknownCursor } from '../../../wire/openai/list-page.ts';
import { type ApiCall, type ApiContext, type ApiRoute, ownerOf } from '../api-route.ts';
import { respondJson } from '../respond.ts';
import { unknownFile } from './files.ts';

export const batchRoutes: readonly ApiRoute[] = [
  { method: 'POST', template: '/v1/batches', policy: 'key', handle: create },
  { method: 'GET', template: '/v1/batches', policy: 'key', handle: list },
  { method: 'GET', template: '/v1/batches/{id}', policy: 'key', handle: retrieve },
  { method: 'POST', template: '/v1/batches/{id}/cancel', policy: 'key', handle: cancel },
];

const BODY_BYTES_MAX = 65_536;
const LIST_LIMITS = { limit: 20, limitMax: 100 };

async function create(gateway: ApiContext, call: ApiCall): Promise<void> {
  const bytes = await call.exchange.readBody(BODY_BYTES_MAX);
  call.record.bytesIn = bytes.length;
  const request = readBatchRequest(parseJsonObject(bytes));
  const owner = ownerOf(call);
  const nowMs = Math.floor(gateway.clock.wallMs());
  const input = await gateway.stores.files.find({ id: request.inputFileId, owner, nowMs });
  if (input === null) throw unknownFile(request.inputFileId, 'input_file_id');
  if (input.purpose !== 'batch') {
    const message = `input_file_id: file "${input.id}" has purpose "${input.purpose}"; expected "batch"`;
    throw new PlatformError('invalid_request', message, { param: 'input_file_id' });
  }
  const { windowMs, openMax } = gateway.settings.batches;
  const batch = newBatch({
    ...request,
    id: opaqueId('batch_'),
    owner,
    createdAtMs: nowMs,
    expiresAtMs: nowMs + windowMs,
  });
  if (!(await gateway.stores.batches.create(batch, openMax))) {
    const message = `${openMax} batches of this key are not over yet; wait for one, or raise batches.open_max`;
    throw new PlatformError('saturated', message, { retryAfterS: 60 });
  }
  respondJson(call.exchange, call.record, 200, batchObject(batch));
}

async function list(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { limit, after } = readPageQuery(call.exchange.query, LIST_LIMITS);
  const batches = await gateway.stores.batches.list({ owner: ownerOf(call), limit, after });
  if (batches === null) throw unknownCursor(after);
  respondJson(call.exchange, call.record, 200, listPage(batches.map(batchObject), limit));
}

async function retrieve(gateway: ApiContext, call: ApiCall): Promise<void> {
  const id = call.params.id ?? '';
  const batch = await gateway.stores.batches.find({ id, owner: ownerOf(call) });
  if (batch === null) throw unknownBatch(id);
  respondJson(call.exchange, call.record, 200, batchObject(batch));
}

async function cancel(gateway: ApiContext, call: ApiCall): Promise<void> {
  const id = call.params.id ?? '';
  const nowMs = Math.floor(gateway.clock.wallMs());
  const batch = await gateway.stores.batches.requestCancel({ id, owner: ownerOf(call), nowMs });
  if (batch === null) throw unknownBatch(id);
  if (batch.status !== 'cancelled' && (BATCH_ENDINGS as readonly string[]).includes(batch.status)) {
    throw new PlatformError('conflict', `batch "${id}" is ${batch.status} already; it cannot be cancelled`);
  }
  respondJson(call.exchange, call.record, 200, batchObject(batch));
}

function unknownBatch(id: string): PlatformError {
  return new PlatformError('not_found', `batch "${id.slice(0, 100)}" does not exist`, { param: 'id' });
}
