/**
 * Everything that is kept in the state database, by name. A store's methods take and give plain data (what structured clone
 * can carry) and are reached from other threads; its new neighbour is a port of its own, a table by a new migration, and a
 * line here and in `drivers/storage/sql/open-stores.ts`.
 */
import type { BatchStore } from './batch-store.ts';
import type { FileStore } from './file-store.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import type { ResponseStore } from './response-store.ts';

export interface Stores {
  responses: ResponseStore;
  idempotency: IdempotencyStore;
  files: FileStore;
  batches: BatchStore;
}

export type StoreName = keyof Stores;

export interface StoreLimits {
  /** Bytes of stored responses with their events. */
  responsesBytesMax: number;
  /** Bytes of answers kept under an `Idempotency-Key`. */
  idempotencyBytesMax: number;
}
