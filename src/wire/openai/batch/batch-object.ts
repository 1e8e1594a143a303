/** The batch object of the OpenAI dialect, and the request that creates one. */
import { PlatformError } from '../../../contract/errors.ts';
import type { StoredBatch } from '../../../contract/ports/batch-store.ts';
import { isRecord, showFound } from '../../json/parse-object.ts';
import { expiryFrom } from '../expires-after.ts';
import { BATCH_ENDPOINTS } from './input-line.ts';

export interface BatchRequest {
  inputFileId: string;
  endpoint: string;
  completionWindow: string;
  metadata: Record<string, string> | null;
  outputTtlMs: number | null;
}

const METADATA_PAIRS_MAX = 16;
const METADATA_NAME_MAX = 64;
const METADATA_VALUE_MAX = 512;

/** Throws `invalid_request`. */
export function readBatchRequest(fields: Readonly<Record<string, unknown>>): BatchRequest {
  const { input_file_id: inputFileId, endpoint, completion_window: completionWindow } = fields;
  if (typeof inputFileId !== 'string' || inputFileId === '' || inputFileId.length > 200)
    throw wrong('input_file_id', inputFileId, 'the id of an uploaded file with purpose "batch"');
  if (typeof endpoint !== 'string' || !(BATCH_ENDPOINTS as readonly string[]).includes(endpoint))
    throw wrong('endpoint', endpoint, `one of ${BATCH_ENDPOINTS.join(', ')}`);
  if (completionWindow !== '24h') throw wrong('completion_window', completionWindow, '"24h"');
  const expiry = fields.output_expires_after ?? null;
  return {
    inputFileId,
    endpoint,
    completionWindow,
    metadata: readMetadata(fields.metadata ?? null),
    outputTtlMs: expiry === null ? null : expiryFrom(expiry, 'output_expires_after'),
  };
}

function readMetadata(value: unknown): Record<string, string> | null {
  if (value === null) return null;
  if (!isRecord(value)) throw wrong('metadata', value, 'an object of strings');
  const pairs = Object.entries(value);
  if (pairs.length > METADATA_PAIRS_MAX)
    throw wrong('metadata', value, `at most ${METADATA_PAIRS_MAX} pairs, and these are ${pairs.length}`);
  for (const [name, text] of pairs) {
    if (name.length > METADATA_NAME_MAX)
      throw wrong('metadata', name, `names of at most ${METADATA_NAME_MAX} characters`);
    if (typeof text !== 'string' || text.length > METADATA_VALUE_MAX)
      throw wrong(`metadata.${name}`, text, `a string of at most ${METADATA_VALUE_MAX} characters`);
  }
  return value as Record<string, string>;
}

const seconds = (ms: number | null) => (ms === null ? null : Math.floor(ms / 1000));

export function batchObject(batch: StoredBatch): Record<string, unknown> {
  const endedAs = (status: string) => (batch.status === status ? seconds(batch.endedAtMs) : null);
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    errors: batch.problems.length === 0 ? null : { object: 'list', data: batch.problems },
    input_file_id: batch.inputFileId,
    completion_window: batch.completionWindow,
    status: batch.status,
    output_file_id: batch.outputFileId,
    error_file_id: batch.errorFileId,
    created_at: seconds(batch.createdAtMs),
    in_progress_at: seconds(batch.inProgressAtMs),
    expires_at: seconds(batch.expiresAtMs),
    finalizing_at: seconds(batch.finalizingAtMs),
    completed_at: endedAs('completed'),
    failed_at: endedAs('failed'),
    expired_at: endedAs('expired'),
    cancelling_at: seconds(batch.cancellingAtMs),
    cancelled_at: endedAs('cancelled'),
    request_counts: { total: batch.total, completed: batch.completed, failed: batch.failed },
    metadata: batch.metadata,
  };
}

function wrong(param: string, found: unknown, right: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${right}`, {
    param,
  });
}
