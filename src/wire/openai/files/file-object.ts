/** The file object of the OpenAI dialect, and what an upload says of its file. */
import { PlatformError } from '../../../contract/errors.ts';
import type { StoredFile } from '../../../contract/ports/file-store.ts';
import { expiryFrom } from '../expires-after.ts';

/** Purposes that clients may name; `batch_output` is ours. */
const PURPOSES = ['assistants', 'batch', 'evals', 'fine-tune', 'user_data', 'vision'] as const;

export interface UploadMeaning {
  purpose: string;
  /** Null when the upload says nothing. */
  ttlMs: number | null;
}

/** Throws `invalid_request`. */
export function readUploadFields(fields: ReadonlyMap<string, string>): UploadMeaning {
  const purpose = fields.get('purpose');
  if (purpose === undefined || !(PURPOSES as readonly string[]).includes(purpose)) {
    const found = purpose === undefined ? 'nothing' : JSON.stringify(purpose.slice(0, 80));
    throw new PlatformError(
      'invalid_request',
      `purpose: found ${found}; expected one of ${PURPOSES.join(', ')}`,
      {
        param: 'purpose',
      },
    );
  }
  const anchor = fields.get('expires_after[anchor]');
  const seconds = fields.get('expires_after[seconds]');
  if (anchor === undefined && seconds === undefined) return { purpose, ttlMs: null };
  const span = seconds !== undefined && /^\d{1,9}$/.test(seconds) ? Number(seconds) : seconds;
  return { purpose, ttlMs: expiryFrom({ anchor, seconds: span }, 'expires_after') };
}

export function fileObject(file: StoredFile): Record<string, unknown> {
  return {
    id: file.id,
    object: 'file',
    bytes: file.bytes,
    created_at: Math.floor(file.createdAtMs / 1000),
    ...(file.expiresAtMs !== null && { expires_at: Math.floor(file.expiresAtMs / 1000) }),
    filename: file.filename,
    purpose: file.purpose,
    status: 'processed',
    status_details: null,
  };
}
