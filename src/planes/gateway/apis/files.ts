/**
 * Files: uploaded for batches or other purposes, listed, read and deleted, each by the key that owns it. A file is known only
 * when its bytes are whole and on disk; whatever breaks before leaves nothing.
 */
import { opaqueId } from '../../../base/opaque-id.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { StagedFile } from '../../../contract/ports/file-contents.ts';
import type { StoredFile } from '../../../contract/ports/file-store.ts';
import { readUpload, type UploadFields } from '../../../wire/multipart/read-upload.ts';
import { fileObject, readUploadFields } from '../../../wire/openai/files/file-object.ts';
import { listPage, readPageQuery, unknownCursor } from '../../../wire/openai/list-page.ts';
import { type ApiCall, type ApiContext, type ApiRoute, ownerOf } from '../api-route.ts';
import { Places } from '../places.ts';
import { respondJson } from '../respond.ts';
import { sendContent } from '../send-content.ts';

export const fileRoutes: readonly ApiRoute[] = [
  { method: 'POST', template: '/v1/files', policy: 'key', handle: upload },
  { method: 'GET', template: '/v1/files', policy: 'key', handle: list },
  { method: 'GET', template: '/v1/files/{id}', policy: 'key', handle: retrieve },
  { method: 'DELETE', template: '/v1/files/{id}', policy: 'key', handle: remove },
  { method: 'GET', template: '/v1/files/{id}/content', policy: 'key', handle: content },
];

/** Uploads at once, per worker thread. */
const UPLOADS_MAX = 16;
/** What an upload may hold beside the file: boundaries and fields. */
const FORM_BYTES_MAX = 1_048_576;
const LIST_LIMITS = { limit: 10_000, limitMax: 10_000 };

const uploads = new Places(UPLOADS_MAX, 'uploads are under way', { retryAfterS: 2 });

async function upload(gateway: ApiContext, call: ApiCall): Promise<void> {
  using _place = uploads.take();
  const { staged, fields, filename } = await receive(gateway, call);
  const file = await keep(gateway, call, { staged, fields, filename }).catch(async (error) => {
    await staged.discard();
    throw error;
  });
  respondJson(call.exchange, call.record, 200, fileObject(file));
}

interface Received {
  staged: StagedFile;
  fields: UploadFields;
  filename: string;
}

async function receive(gateway: ApiContext, { exchange, record }: ApiCall): Promise<Received> {
  const { fileBytesMax, totalBytesMax } = gateway.settings.files;
  const announced = Number(exchange.headers['content-length'] ?? 0);
  const stored = await gateway.stores.files.totalBytes();
  // Refused before it is read; what announces nothing is measured at its end.
  if (announced <= fileBytesMax + FORM_BYTES_MAX && stored + announced - FORM_BYTES_MAX > totalBytesMax)
    throw noRoom(totalBytesMax);
  let staged: StagedFile | null = null;
  let filename = '';
  try {
    const fields = await readUpload({
      contentType: exchange.headers['content-type'],
      body: exchange.bodyChunks(fileBytesMax + FORM_BYTES_MAX),
      fileField: 'file',
      onFile: async (file) => {
        filename = file.filename;
        staged = await gateway.fileContents.stage(atMost(file.chunks, fileBytesMax));
      },
    });
    if (staged === null) throw new RangeError('an upload without a file was taken');
    record.bytesIn = (staged as StagedFile).bytes;
    return { staged, fields, filename };
  } catch (error) {
    await (staged as StagedFile | null)?.discard();
    throw error;
  }
}

async function keep(
  gateway: ApiContext,
  call: ApiCall,
  { staged, fields, filename }: Received,
): Promise<StoredFile> {
  const { purpose, ttlMs } = readUploadFields(fields);
  if (staged.bytes === 0) {
    throw new PlatformError('invalid_request', `file "${filename}" is empty; expected at least one byte`, {
      param: 'file',
    });
  }
  const { batchTtlMs, totalBytesMax } = gateway.settings.files;
  const nowMs = Math.floor(gateway.clock.wallMs());
  const lifeMs = ttlMs ?? (purpose === 'batch' ? batchTtlMs : null);
  const file: StoredFile = {
    id: opaqueId('file-'),
    owner: ownerOf(call),
    filename,
    purpose,
    bytes: staged.bytes,
    createdAtMs: nowMs,
    expiresAtMs: lifeMs === null ? null : nowMs + lifeMs,
  };
  // First the bytes: a crash in between leaves bytes that nobody lists, and they are swept later.
  await staged.keep(file.id);
  const added = await gateway.stores.files.add(file, totalBytesMax).catch(async (error) => {
    await gateway.fileContents.remove(file.id);
    throw error;
  });
  if (added) return file;
  await gateway.fileContents.remove(file.id);
  throw noRoom(totalBytesMax);
}

function noRoom(totalBytesMax: number): PlatformError {
  const message = `no room: all files together may have ${totalBytesMax} bytes; delete some, or raise files.total_bytes_max`;
  return new PlatformError('storage_full', message);
}

async function* atMost(chunks: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > bytesMax)
      throw new PlatformError('body_too_large', `the file has more than ${bytesMax} bytes, the limit`);
    yield chunk;
  }
}

async function list(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { limit, after, order } = readPageQuery(call.exchange.query, LIST_LIMITS);
  const purpose = new URLSearchParams(call.exchange.query).get('purpose');
  const nowMs = gateway.clock.wallMs();
  const listing = { owner: ownerOf(call), nowMs, purpose, order, limit, after };
  const files = await gateway.stores.files.list(listing);
  if (files === null) throw unknownCursor(after);
  respondJson(call.exchange, call.record, 200, listPage(files.map(fileObject), limit));
}

async function retrieve(gateway: ApiContext, call: ApiCall): Promise<void> {
  respondJson(call.exchange, call.record, 200, fileObject(await findFile(gateway, call)));
}

/** Rejects with `not_found`. */
async function findFile(gateway: ApiContext, call: ApiCall): Promise<StoredFile> {
  const id = call.params.id ?? '';
  const file = await gateway.stores.files.find({ id, owner: ownerOf(call), nowMs: gateway.clock.wallMs() });
  if (file === null) throw unknownFile(id);
  return file;
}

export function unknownFile(id: string, param = 'id'): PlatformError {
  return new PlatformError('not_found', `file "${id.slice(0, 100)}" does not exist`, { param });
}

async function remove(gateway: ApiContext, call: ApiCall): Promise<void> {
  const id = call.params.id ?? '';
  const removal = await gateway.stores.files.remove({
    id,
    owner: ownerOf(call),
    nowMs: gateway.clock.wallMs(),
  });
  if (removal.kind === 'unknown') throw unknownFile(id);
  if (removal.kind === 'in-use') {
    const message = `file "${id}" is the input of batch "${removal.batch}", which is not over; cancel the batch first`;
    throw new PlatformError('conflict', message);
  }
  await gateway.fileContents.remove(id);
  respondJson(call.exchange, call.record, 200, { id, object: 'file', deleted: true });
}

async function content(gateway: ApiContext, call: ApiCall): Promise<void> {
  const { exchange, record } = call;
  const file = await findFile(gateway, call);
  const opened = await gateway.fileContents.open(file.id);
  if (opened === null) throw unknownFile(file.id);
  try {
    record.bytesOut = await sendContent(gateway, exchange, {
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(opened.bytes),
        'content-disposition': disposition(file.filename),
        'x-content-type-options': 'nosniff',
        'x-request-id': record.requestId,
      },
      chunks: opened.chunks(),
    });
  } finally {
    await opened.close();
  }
  record.status = 200;
  record.outcome = 'completed';
}

/** RFC 6266: a plain name for old clients, the real one for the others. */
function disposition(filename: string): string {
  const plain = filename.replace(/[^\w.-]/g, '_');
  const encoded = encodeURIComponent(filename).replace(
    /['()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
