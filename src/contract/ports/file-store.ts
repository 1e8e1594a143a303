/**
 * Port: what is known of uploaded and written files; the bytes lie elsewhere (`file-contents.ts`). In the contract: a file
 * that is listed here is whole; nothing of another owner is ever shown; what has expired is gone, whether it was swept yet or
 * not; the input of a batch that is not over stays. Not in the contract: that a call succeeds; it rejects with
 * `storage_unavailable` then.
 */
export interface StoredFile {
  id: string;
  /** Name of the key that created it; empty where no key is needed. */
  owner: string;
  filename: string;
  purpose: string;
  bytes: number;
  createdAtMs: number;
  /** Null: it stays until it is deleted. */
  expiresAtMs: number | null;
}

export interface FileListing {
  owner: string;
  nowMs: number;
  purpose: string | null;
  order: 'asc' | 'desc';
  limit: number;
  /** Id of the last file of the page before. */
  after: string | null;
}

export type FileRemoval =
  | { kind: 'removed' }
  | { kind: 'unknown' }
  /** It is the input of this batch, which is not over. */
  | { kind: 'in-use'; batch: string };

export interface FileStore {
  /** False, and nothing is written, when all files together would have more than `bytesMax`; null is no limit. */
  add(file: StoredFile, bytesMax: number | null): Promise<boolean>;
  find(key: { id: string; owner: string; nowMs: number }): Promise<StoredFile | null>;
  /** One more than `limit` when there are more. Null when `after` names no file of the owner. */
  list(listing: FileListing): Promise<StoredFile[] | null>;
  remove(key: { id: string; owner: string; nowMs: number }): Promise<FileRemoval>;
  /** Bytes of all files together. */
  totalBytes(): Promise<number>;
  /** Forgets files that have expired, but for inputs of batches that are not over; gives their ids back. */
  takeExpired(expiry: { nowMs: number; limit: number }): Promise<string[]>;
  /** Which of these ids are known, expired or not: files, and what a batch that is not over has reserved. */
  known(ids: string[]): Promise<string[]>;
  /** When this database was begun, Unix ms. It knows nothing of what is older. */
  begunAtMs(): Promise<number>;
}
