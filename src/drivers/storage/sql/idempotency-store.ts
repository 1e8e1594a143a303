/** The `IdempotencyStore` port as queries that SQLite and PostgreSQL both understand. */
import type { Kysely } from 'kysely';
import type {
  ClaimResult,
  IdempotencyClaim,
  IdempotencyStore,
  KeptAnswer,
} from '../../../contract/ports/idempotency-store.ts';
import type { Tables } from './tables.ts';
import { takeUntil } from './take-until.ts';

/** Rows that one statement of a sweep takes away, and statements of one sweep. */
const SWEEP_ROWS = 200;
const SWEEP_TURNS_MAX = 100;
/** Share of the limit that may be written before the limit is looked at again, sweep or not. */
const UNCHECKED_RATIO = 0.05;

export class SqlIdempotencyStore implements IdempotencyStore {
  readonly #db: Kysely<Tables>;
  readonly #bytesMax: number;
  #uncheckedBytes = 0;

  constructor(db: Kysely<Tables>, bytesMax: number) {
    this.#db = db;
    this.#bytesMax = bytesMax;
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
    this.#uncheckedBytes += bytes;
    if (this.#uncheckedBytes > this.#bytesMax * UNCHECKED_RATIO) await this.#evict();
    return true;
  }

  async release(token: string): Promise<void> {
    await this.#db.deleteFrom('idempotency').where('token', '=', token).where('status', 'is', null).execute();
  }

  async sweep(nowMs: number): Promise<void> {
    for (let turn = 0; turn < SWEEP_TURNS_MAX; turn++) {
      const expired = await this.#oldest().where('expires_at_ms', '<=', nowMs).execute();
      await this.#removeAll(expired);
      if (expired.length < SWEEP_ROWS) break;
    }
    await this.#evict();
  }

  async #evict(): Promise<void> {
    this.#uncheckedBytes = 0;
    const total = await this.#db
      .selectFrom('idempotency')
      .select(({ fn }) => fn.sum<number | string | null>('bytes').as('bytes'))
      .executeTakeFirst();
    let excess = Number(total?.bytes ?? 0) - this.#bytesMax;
    for (let turn = 0; turn < SWEEP_TURNS_MAX && excess > 0; turn++) {
      const surplus = takeUntil(await this.#oldest().where('status', 'is not', null).execute(), excess);
      if (surplus.length === 0) return;
      await this.#removeAll(surplus);
      excess -= surplus.reduce((sum, row) => sum + Number(row.bytes), 0);
    }
  }

  /** All are kept for the same time, so the first to expire is the oldest. */
  #oldest() {
    return this.#db
      .selectFrom('idempotency')
      .select(['token', 'bytes'])
      .orderBy('expires_at_ms')
      .limit(SWEEP_ROWS);
  }

  async #removeAll(rows: { token: string }[]): Promise<void> {
    if (rows.length === 0) return;
    const tokens = rows.map(({ token }) => token);
    await this.#db.deleteFrom('idempotency').where('token', 'in', tokens).execute();
  }
}
