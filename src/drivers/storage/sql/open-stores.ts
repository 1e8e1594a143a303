/** Every store of the port `Stores` over one database. */
import type { Kysely } from 'kysely';
import type { StoreLimits, Stores } from '../../../contract/ports/stores.ts';
import { SqlBatchStore } from './batch-store.ts';
import { SqlFileStore } from './file-store.ts';
import { SqlIdempotencyStore } from './idempotency-store.ts';
import { SqlResponseStore } from './response-store.ts';
import type { Tables } from './tables.ts';

export function openStores(db: Kysely<Tables>, limits: StoreLimits): Stores {
  return {
    responses: new SqlResponseStore(db, limits.responsesBytesMax),
    idempotency: new SqlIdempotencyStore(db, limits.idempotencyBytesMax),
    files: new SqlFileStore(db),
    batches: new SqlBatchStore(db),
  };
}
