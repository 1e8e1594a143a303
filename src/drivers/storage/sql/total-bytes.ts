/** Bytes of all rows of a table that says for each how many it holds. */
import type { Kysely } from 'kysely';
import type { Tables } from './tables.ts';

export async function totalBytes(
  db: Kysely<Tables>,
  table: 'responses' | 'idempotency' | 'files',
): Promise<number> {
  const total = await db
    .selectFrom(table)
    .select(({ fn }) => fn.sum<number | string | null>('bytes').as('bytes'))
    .executeTakeFirst();
  return Number(total?.bytes ?? 0);
}
