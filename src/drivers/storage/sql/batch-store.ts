/** The `BatchStore` port as queries that SQLite and PostgreSQL both understand. */
import { type Kysely, type Selectable, sql, type Updateable } from 'kysely';
import type {
  BatchChange,
  BatchClaim,
  BatchEndStatus,
  BatchHold,
  BatchListing,
  BatchStatus,
  BatchStore,
  HeldBatch,
  InputProblem,
  LineAnswer,
  ReservedFiles,
  StoredBatch,
} from '../../../contract/ports/batch-store.ts';
import { BATCH_ENDINGS } from '../../../contract/ports/batch-store.ts';
import { fileRow } from './file-store.ts';
import type { Tables } from './tables.ts';

type Row = Selectable<Tables['batches']>;

/** How long a batch can be read after its end, ms. */
const KEPT_MS = 90 * 86_400_000;
/** Rows that one statement of a sweep takes away, and statements of one sweep. */
const SWEEP_ROWS = 500;
const SWEEP_TURNS_MAX = 40;
/** Answers that are looked at for one page. */
const PAGE_ROWS = 200;

export class SqlBatchStore implements BatchStore {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  create(batch: StoredBatch, openMax: number): Promise<boolean> {
    return this.#db.transaction().execute(async (db) => {
      const open = await db
        .selectFrom('batches')
        .select(({ fn }) => fn.countAll<number | string>().as('count'))
        .where('owner', '=', batch.owner)
        .where('ended_at_ms', 'is', null)
        .executeTakeFirstOrThrow();
      if (Number(open.count) >= openMax) return false;
      await db.insertInto('batches').values(rowOf(batch)).execute();
      return true;
    });
  }

  async find({ id, owner }: { id: string; owner: string }): Promise<StoredBatch | null> {
    const row = await this.#db
      .selectFrom('batches')
      .selectAll()
      .where('id', '=', id)
      .where('owner', '=', owner)
      .executeTakeFirst();
    return row === undefined ? null : batchOf(row);
  }

  async list({ owner, limit, after }: BatchListing): Promise<StoredBatch[] | null> {
    let query = this.#db.selectFrom('batches').selectAll().where('owner', '=', owner);
    if (after !== null) {
      const last = await this.find({ id: after, owner });
      if (last === null) return null;
      query = query.where(({ eb, refTuple, tuple }) =>
        eb(refTuple('created_at_ms', 'id'), '<', tuple(last.createdAtMs, last.id)),
      );
    }
    const rows = await query
      .orderBy('created_at_ms', 'desc')
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    return rows.map(batchOf);
  }

  async requestCancel({ id, owner, nowMs }: { id: string; owner: string; nowMs: number }) {
    await this.#db
      .updateTable('batches')
      .set({ status: 'cancelling', cancelling_at_ms: nowMs })
      .where('id', '=', id)
      .where('owner', '=', owner)
      .where('status', 'in', ['validating', 'in_progress'])
      .execute();
    return this.find({ id, owner });
  }

  async claim({ holder, nowMs, leaseUntilMs, limit, endingOnly }: BatchClaim): Promise<HeldBatch[]> {
    const onlyToEnd = sql<boolean>`(expires_at_ms <= ${nowMs} OR status IN ('cancelling', 'finalizing'))`;
    let free = this.#db
      .selectFrom('batches')
      .select('id')
      .where('ended_at_ms', 'is', null)
      .where(({ or, eb }) => or([eb('holder', 'is', null), eb('lease_until_ms', '<=', nowMs)]));
    if (endingOnly === true) free = free.where(onlyToEnd);
    // Asked for all the time, and mostly in vain: that costs no write lock.
    const rows = await free
      .orderBy(sql`CASE WHEN ${onlyToEnd} THEN 0 ELSE 1 END`)
      .orderBy('created_at_ms')
      .orderBy('id')
      .limit(limit)
      .execute();
    const held: HeldBatch[] = [];
    for (const { id } of rows) {
      const row = await this.#db
        .updateTable('batches')
        .set(({ eb }) => ({ holder, lease_until_ms: leaseUntilMs, fence: eb('fence', '+', 1) }))
        .where('id', '=', id)
        .where('ended_at_ms', 'is', null)
        .where(({ or, eb }) => or([eb('holder', 'is', null), eb('lease_until_ms', '<=', nowMs)]))
        .returningAll()
        .executeTakeFirst();
      if (row !== undefined) held.push({ batch: batchOf(row), fence: Number(row.fence) });
    }
    return held;
  }

  async renew({ holds, leaseUntilMs }: { holds: BatchHold[]; leaseUntilMs: number }): Promise<StoredBatch[]> {
    const rows: Row[] = [];
    for (const { id, fence } of holds) {
      const row = await this.#db
        .updateTable('batches')
        .set({ lease_until_ms: leaseUntilMs })
        .where('id', '=', id)
        .where('fence', '=', fence)
        .where('ended_at_ms', 'is', null)
        .returningAll()
        .executeTakeFirst();
      if (row !== undefined) rows.push(row);
    }
    return rows.map(batchOf);
  }

  async release({ id, fence }: BatchHold): Promise<void> {
    await this.#db
      .updateTable('batches')
      .set({ holder: null, lease_until_ms: 0 })
      .where('id', '=', id)
      .where('fence', '=', fence)
      .execute();
  }

  async reserveFiles({ id, fence }: BatchHold, { output, error }: ReservedFiles): Promise<boolean> {
    const reserved = await this.#db
      .updateTable('batches')
      .set({ output_file_id: output, error_file_id: error })
      .where('id', '=', id)
      .where('fence', '=', fence)
      .where('ended_at_ms', 'is', null)
      .executeTakeFirst();
    return reserved.numUpdatedRows === 1n;
  }

  change(hold: BatchHold, change: BatchChange): Promise<boolean> {
    return this.#db.transaction().execute(async (db) => {
      const changed = await changeRow(db, hold, change);
      if (!changed) return false;
      for (const file of change.files ?? []) await db.insertInto('files').values(fileRow(file)).execute();
      return true;
    });
  }

  record({ id, fence }: BatchHold, answers: LineAnswer[]): Promise<boolean> {
    return this.#db.transaction().execute(async (db) => {
      const held = await db
        .selectFrom('batches')
        .select('id')
        .where('id', '=', id)
        .where('fence', '=', fence)
        .where('ended_at_ms', 'is', null)
        .executeTakeFirst();
      if (held === undefined) return false;
      const added = { ok: 0, failed: 0 };
      for (const { line, ok, text } of answers) {
        const written = await db
          .insertInto('batch_answers')
          .values({ batch_id: id, line, ok: ok ? 1 : 0, text })
          .onConflict((conflict) => conflict.columns(['batch_id', 'line']).doNothing())
          .executeTakeFirst();
        if (written.numInsertedOrUpdatedRows === 1n) added[ok ? 'ok' : 'failed']++;
      }
      await db
        .updateTable('batches')
        .set(({ eb }) => ({
          completed: eb('completed', '+', added.ok),
          failed: eb('failed', '+', added.failed),
        }))
        .where('id', '=', id)
        .execute();
      return true;
    });
  }

  async answered(id: string): Promise<[from: number, to: number][]> {
    const rows = await this.#db
      .selectFrom('batch_answers')
      .select('line')
      .where('batch_id', '=', id)
      .orderBy('line')
      .execute();
    const ranges: [number, number][] = [];
    for (const { line } of rows) {
      const last = ranges.at(-1);
      if (last?.[1] === line) last[1] = line + 1;
      else ranges.push([line, line + 1]);
    }
    return ranges;
  }

  async answers({ id, ok, after, bytesMax }: { id: string; ok: boolean; after: number; bytesMax: number }) {
    const from = this.#db
      .selectFrom('batch_answers')
      .where('batch_id', '=', id)
      .where('ok', '=', ok ? 1 : 0)
      .where('line', '>', after)
      .orderBy('line');
    const sizes = await from
      .select(['line', sql<number>`length(text)`.as('length')])
      .limit(PAGE_ROWS)
      .execute();
    let bytes = 0;
    const beyond = sizes.findIndex(({ length }) => {
      bytes += Number(length);
      return bytes > bytesMax;
    });
    const count = beyond < 0 ? sizes.length : Math.max(1, beyond);
    if (count === 0) return [];
    const rows = await from.select(['line', 'text']).limit(count).execute();
    return rows.map(({ line, text }) => ({ line: Number(line), ok, text }));
  }

  async sweep(nowMs: number): Promise<void> {
    for (let turn = 0; turn < SWEEP_TURNS_MAX; turn++) {
      if (!(await this.#dropAnswers())) break;
    }
    await this.#db
      .deleteFrom('batches')
      .where('ended_at_ms', '<=', nowMs - KEPT_MS)
      .where('id', 'not in', (inner) => inner.selectFrom('batch_answers').select('batch_id'))
      .execute();
  }

  /** False when no batch that is over has answers left. */
  async #dropAnswers(): Promise<boolean> {
    const over = await this.#db
      .selectFrom('batch_answers')
      .innerJoin('batches', 'batches.id', 'batch_answers.batch_id')
      .select('batch_id')
      .where('ended_at_ms', 'is not', null)
      .limit(1)
      .executeTakeFirst();
    if (over === undefined) return false;
    await this.#db
      .deleteFrom('batch_answers')
      .where('batch_id', '=', over.batch_id)
      .where('line', 'in', (inner) =>
        inner
          .selectFrom('batch_answers')
          .select('line')
          .where('batch_id', '=', over.batch_id)
          .orderBy('line')
          .limit(SWEEP_ROWS),
      )
      .execute();
    return true;
  }
}

async function changeRow(
  db: Kysely<Tables>,
  { id, fence }: BatchHold,
  change: BatchChange,
): Promise<boolean> {
  const { status, atMs } = change;
  const values: Updateable<Tables['batches']> = {};
  if (change.total !== undefined) values.total = change.total;
  if (change.ending !== undefined) values.ending = change.ending;
  if (change.outputFileId !== undefined) values.output_file_id = change.outputFileId;
  if (change.errorFileId !== undefined) values.error_file_id = change.errorFileId;
  if (change.problems !== undefined) values.problems_json = JSON.stringify(change.problems);
  const ends = (BATCH_ENDINGS as readonly string[]).includes(status);
  if (ends) Object.assign(values, { ended_at_ms: atMs, holder: null });
  const changed = await db
    .updateTable('batches')
    .set(values)
    .set(({ eb, fn, val }) => ({
      status:
        status === 'in_progress'
          ? sql<string>`CASE WHEN status = 'cancelling' THEN status ELSE ${status} END`
          : val(status),
      in_progress_at_ms:
        status === 'in_progress' ? fn.coalesce('in_progress_at_ms', val(atMs)) : eb.ref('in_progress_at_ms'),
      finalizing_at_ms:
        status === 'finalizing' ? fn.coalesce('finalizing_at_ms', val(atMs)) : eb.ref('finalizing_at_ms'),
      failed: eb('failed', '+', change.unanswered ?? 0),
    }))
    .where('id', '=', id)
    .where('fence', '=', fence)
    .where('ended_at_ms', 'is', null)
    .executeTakeFirst();
  return changed.numUpdatedRows === 1n;
}

function rowOf(batch: StoredBatch): Row {
  return {
    id: batch.id,
    owner: batch.owner,
    endpoint: batch.endpoint,
    input_file_id: batch.inputFileId,
    completion_window: batch.completionWindow,
    metadata_json: batch.metadata === null ? null : JSON.stringify(batch.metadata),
    output_ttl_ms: batch.outputTtlMs,
    status: batch.status,
    ending: batch.ending,
    created_at_ms: batch.createdAtMs,
    expires_at_ms: batch.expiresAtMs,
    in_progress_at_ms: batch.inProgressAtMs,
    finalizing_at_ms: batch.finalizingAtMs,
    cancelling_at_ms: batch.cancellingAtMs,
    ended_at_ms: batch.endedAtMs,
    total: batch.total,
    completed: batch.completed,
    failed: batch.failed,
    output_file_id: batch.outputFileId,
    error_file_id: batch.errorFileId,
    problems_json: JSON.stringify(batch.problems),
    holder: null,
    lease_until_ms: 0,
    fence: 0,
  };
}

function batchOf(row: Row): StoredBatch {
  const time = (ms: number | null) => (ms === null ? null : Number(ms));
  return {
    id: row.id,
    owner: row.owner,
    endpoint: row.endpoint,
    inputFileId: row.input_file_id,
    completionWindow: row.completion_window,
    metadata: row.metadata_json === null ? null : (JSON.parse(row.metadata_json) as Record<string, string>),
    outputTtlMs: time(row.output_ttl_ms),
    status: row.status as BatchStatus,
    ending: row.ending as BatchEndStatus | null,
    createdAtMs: Number(row.created_at_ms),
    expiresAtMs: Number(row.expires_at_ms),
    inProgressAtMs: time(row.in_progress_at_ms),
    finalizingAtMs: time(row.finalizing_at_ms),
    cancellingAtMs: time(row.cancelling_at_ms),
    endedAtMs: time(row.ended_at_ms),
    total: Number(row.total),
    completed: Number(row.completed),
    failed: Number(row.failed),
    outputFileId: row.ended_at_ms === null ? null : row.output_file_id,
    errorFileId: row.ended_at_ms === null ? null : row.error_file_id,
    problems: JSON.parse(row.problems_json) as InputProblem[],
  };
}
