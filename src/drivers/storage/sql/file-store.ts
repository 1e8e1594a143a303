/** The `FileStore` port as queries that SQLite and PostgreSQL both understand. */
import { type Kysely, type Selectable, sql } from 'kysely';
import type { FileListing, FileRemoval, FileStore, StoredFile } from '../../../contract/ports/file-store.ts';
import type { Tables } from './tables.ts';
import { totalBytes } from './total-bytes.ts';

export class SqlFileStore implements FileStore {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  add(file: StoredFile, bytesMax: number | null): Promise<boolean> {
    const row = fileRow(file);
    return this.#db.transaction().execute(async (db) => {
      if (bytesMax !== null && (await totalBytes(db, 'files')) + file.bytes > bytesMax) return false;
      await db.insertInto('files').values(row).execute();
      return true;
    });
  }

  async find({ id, owner, nowMs }: { id: string; owner: string; nowMs: number }): Promise<StoredFile | null> {
    const row = await this.#living(owner, nowMs).where('id', '=', id).executeTakeFirst();
    return row === undefined ? null : fileOf(row);
  }

  async list({ owner, nowMs, purpose, order, limit, after }: FileListing): Promise<StoredFile[] | null> {
    let query = this.#living(owner, nowMs);
    if (purpose !== null) query = query.where('purpose', '=', purpose);
    if (after !== null) {
      const last = await this.#db
        .selectFrom('files')
        .select(['created_at_ms', 'id'])
        .where('owner', '=', owner)
        .where('id', '=', after)
        .executeTakeFirst();
      if (last === undefined) return null;
      const beyond = order === 'asc' ? '>' : '<';
      query = query.where(({ eb, refTuple, tuple }) =>
        eb(refTuple('created_at_ms', 'id'), beyond, tuple(last.created_at_ms, last.id)),
      );
    }
    const rows = await query
      .orderBy('created_at_ms', order)
      .orderBy('id', order)
      .limit(limit + 1)
      .execute();
    return rows.map(fileOf);
  }

  remove({ id, owner, nowMs }: { id: string; owner: string; nowMs: number }): Promise<FileRemoval> {
    return this.#db.transaction().execute(async (db): Promise<FileRemoval> => {
      const found = await db
        .selectFrom('files')
        .select('expires_at_ms')
        .where('id', '=', id)
        .where('owner', '=', owner)
        .executeTakeFirst();
      if (found === undefined || (found.expires_at_ms !== null && found.expires_at_ms <= nowMs))
        return { kind: 'unknown' };
      const user = await db
        .selectFrom('batches')
        .select('id')
        .where('input_file_id', '=', id)
        .where('ended_at_ms', 'is', null)
        .executeTakeFirst();
      if (user !== undefined) return { kind: 'in-use', batch: user.id };
      await db.deleteFrom('files').where('id', '=', id).execute();
      return { kind: 'removed' };
    });
  }

  totalBytes(): Promise<number> {
    return totalBytes(this.#db, 'files');
  }

  takeExpired({ nowMs, limit }: { nowMs: number; limit: number }): Promise<string[]> {
    return this.#db.transaction().execute(async (db) => {
      const rows = await db
        .selectFrom('files')
        .select('id')
        .where('expires_at_ms', '<=', nowMs)
        .where('id', 'not in', (inner) =>
          inner.selectFrom('batches').select('input_file_id').where('ended_at_ms', 'is', null),
        )
        .limit(limit)
        .execute();
      const ids = rows.map(({ id }) => id);
      if (ids.length > 0) await db.deleteFrom('files').where('id', 'in', ids).execute();
      return ids;
    });
  }

  async known(ids: string[]): Promise<string[]> {
    if (ids.length === 0) return [];
    const reserved = (column: 'output_file_id' | 'error_file_id') =>
      this.#db
        .selectFrom('batches')
        .select(({ ref }) => ref(column).$castTo<string>().as('id'))
        .where('ended_at_ms', 'is', null)
        .where(column, 'in', ids);
    const rows = await this.#db
      .selectFrom('files')
      .select('id')
      .where('id', 'in', ids)
      .union(reserved('output_file_id'))
      .union(reserved('error_file_id'))
      .execute();
    return rows.map(({ id }) => id);
  }

  async begunAtMs(): Promise<number> {
    const { rows } = await sql<{
      at: number;
    }>`select min(applied_at_ms) as at from schema_migrations`.execute(this.#db);
    return Number(rows[0]?.at ?? 0);
  }

  #living(owner: string, nowMs: number) {
    return this.#db
      .selectFrom('files')
      .selectAll()
      .where('owner', '=', owner)
      .where(({ or, eb }) => or([eb('expires_at_ms', 'is', null), eb('expires_at_ms', '>', nowMs)]));
  }
}

export function fileRow(file: StoredFile): Selectable<Tables['files']> {
  return {
    id: file.id,
    owner: file.owner,
    filename: file.filename,
    purpose: file.purpose,
    bytes: file.bytes,
    created_at_ms: file.createdAtMs,
    expires_at_ms: file.expiresAtMs,
  };
}

function fileOf(row: Selectable<Tables['files']>): StoredFile {
  return {
    id: row.id,
    owner: row.owner,
    filename: row.filename,
    purpose: row.purpose,
    bytes: Number(row.bytes),
    createdAtMs: Number(row.created_at_ms),
    expiresAtMs: row.expires_at_ms === null ? null : Number(row.expires_at_ms),
  };
}
