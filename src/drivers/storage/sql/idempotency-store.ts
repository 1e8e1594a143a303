/** The `IdempotencyStore` port as queries that SQLite and PostgreSQL both understand. */
import type { Kysely } from 'kysely';
import type {
  ClaimResult,
  IdempotencyClaim,
  IdempotencyStore,
  KeptAnswer,
} from '../../../contract/ports/idempotency-store.ts';
import { BoundedRows, type SweptTable } from './bounded-rows.ts';
import type { Tables } from './tables.ts';
import { totalBytes } from './total-bytes.ts';

export class SqlIdempotencyStore implements IdempotencyStore {
  readonly #db: Kysely<Tables>;
  readonly #rows: BoundedRows;

  constructor(db: Kysely<Tables>, bytesMax: number) {
    this.#db = db;
    this.#rows = new BoundedRows(sweptTable(db), bytesMax);
  }

  claim(claim: IdempotencyClaim): Promise<ClaimResult> {
    const { owner, key, fingerprint, token, nowMs, leaseUntilMs, expiresAtMs } = claim;
    return this.#db.transaction().execute(async (db): Promise<ClaimResult> => {
      // What has expired, and the claim of a gateway that died, are as if they had never been.
      await db
        .deleteFrom('idempotency')
        .where('owner', '=', owner)
        .where('key', '=', key)
        .where(({ or, and, eb }) =>
          or([
            eb('expires_at_ms', '<=', nowMs),
            and([eb('status', 'is', null), eb('lease_until_ms', '<=', nowMs)]),
          ]),
        )
        .execute();
      const written = await db
        .insertInto('idempotency')
        .values({
          owner,
          key,
          fingerprint,
          token,
          lease_until_ms: leaseUntilMs,
          expires_at_ms: expiresAtMs,
          status: null,
          headers_json: null,
          body: null,
          bytes: 0,
        })
        .onConflict((conflict) => conflict.columns(['owner', 'key']).doNothing())
        .executeTakeFirst();
      if (written.numInsertedOrUpdatedRows === 1n) return { kind: 'claimed' };
      const found = await db
        .selectFrom('idempotency')
        .select(['fingerprint', 'status', 'headers_json', 'body'])
        .where('owner', '=', owner)
        .where('key', '=', key)
        .executeTakeFirstOrThrow();
      if (found.fingerprint !== fingerprint) return { kind: 'other-request' };
      if (found.status === null) return { kind: 'running' };
      const headers = JSON.parse(found.headers_json ?? '{}') as Record<string, string>;
      return {
        kind: 'kept',
        answer: { status: found.status, headers, body: found.body ?? new Uint8Array() },
      };
    });
  }

  async renew({ tokens, leaseUntilMs }: { tokens: string[]; leaseUntilMs: number }): Promise<void> {
    if (tokens.length === 0) return;
    await this.#db
      .updateTable('idempotency')
      .set({ lease_until_ms: leaseUntilMs })
      .where('token', 'in', tokens)
      .where('status', 'is', null)
      .execute();
  }

  async finish({ token, answer }: { token: string; answer: KeptAnswer }): Promise<boolean> {
    const headersJson = JSON.stringify(answer.headers);
    const bytes = answer.body.byteLength + headersJson.length;
    const done = await this.#db
      .updateTable('idempotency')
      .set({
        status: answer.status,
        headers_json: headersJson,
        body: Buffer.from(answer.body),
        bytes,
      })
      .where('token', '=', token)
      .where('status', 'is', null)
      .executeTakeFirst();
    if (done.numUpdatedRows === 0n) return false;
    await this.#rows.written(bytes);
    return true;
  }

  async release(token: string): Promise<void> {
    await this.#db.deleteFrom('idempotency').where('token', '=', token).where('status', 'is', null).execute();
  }

  sweep(nowMs: number): Promise<void> {
    return this.#rows.sweep(nowMs);
  }
}

function sweptTable(db: Kysely<Tables>): SweptTable {
  // All are kept for the same time, so the first to expire is the oldest.
  const oldest = (limit: number) =>
    db.selectFrom('idempotency').select(['token as key', 'bytes']).orderBy('expires_at_ms').limit(limit);
  return {
    expired: (nowMs, limit) => oldest(limit).where('expires_at_ms', '<=', nowMs).execute(),
    oldest: (limit) => oldest(limit).where('status', 'is not', null).execute(),
    totalBytes: () => totalBytes(db, 'idempotency'),
    remove: (tokens) => db.deleteFrom('idempotency').where('token', 'in', tokens).execute(),
  };
}
