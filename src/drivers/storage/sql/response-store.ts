/** The `ResponseStore` port as queries that SQLite and PostgreSQL both understand. */
import { type Kysely, sql } from 'kysely';
import type {
  ResponseEvent,
  ResponseStatus,
  ResponseStore,
  ResponseTurn,
  ResponseUpdate,
  StoredConversation,
  StoredResponse,
} from '../../../contract/ports/response-store.ts';
import { CONVERSATION_BYTES_MAX, CONVERSATION_TURNS_MAX } from '../../../contract/ports/response-store.ts';
import { BoundedRows, type SweptTable } from './bounded-rows.ts';
import type { Tables } from './tables.ts';
import { totalBytes } from './total-bytes.ts';

const RUNNING: readonly string[] = ['queued', 'in_progress'] satisfies ResponseStatus[];
export class SqlResponseStore implements ResponseStore {
  readonly #db: Kysely<Tables>;
  readonly #rows: BoundedRows;

  constructor(db: Kysely<Tables>, bytesMax: number) {
    this.#db = db;
    this.#rows = new BoundedRows(sweptTable(db), bytesMax);
  }

  async create(response: StoredResponse): Promise<void> {
    const bytes = Buffer.byteLength(response.inputJson) + Buffer.byteLength(response.responseJson);
    await this.#db.transaction().execute(async (db) => {
      await db
        .insertInto('responses')
        .values({
          id: response.id,
          owner: response.owner,
          status: response.status,
          previous_id: response.previousId,
          created_at_ms: response.createdAtMs,
          expires_at_ms: response.expiresAtMs,
          alive_at_ms: response.aliveAtMs,
          events_kept: response.eventsKept ? 1 : 0,
          input_json: response.inputJson,
          response_json: response.responseJson,
          bytes,
        })
        .execute();
      if (response.previousId === null) return;
      await sql`
        WITH RECURSIVE line (id, previous_id, depth) AS (
          SELECT id, previous_id, 1 FROM responses WHERE id = ${response.previousId} AND owner = ${response.owner}
          UNION ALL
          SELECT r.id, r.previous_id, line.depth + 1 FROM responses r JOIN line ON r.id = line.previous_id
          WHERE line.depth < ${CONVERSATION_TURNS_MAX}
        )
        UPDATE responses SET expires_at_ms = ${response.expiresAtMs}
        WHERE id IN (SELECT id FROM line) AND expires_at_ms < ${response.expiresAtMs}`.execute(db);
    });
    await this.#rows.written(bytes);
  }

  async update({ id, status, responseJson, aliveAtMs, events = [] }: ResponseUpdate): Promise<boolean> {
    const jsonBytes = Buffer.byteLength(responseJson);
    const bytes = jsonBytes + bytesOf(events);
    const running = await this.#db.transaction().execute(async (db) => {
      const done = await db
        .updateTable('responses')
        .set((row) => ({
          status,
          alive_at_ms: aliveAtMs,
          bytes: sql<number>`${row.ref('bytes')} - octet_length(${row.ref('response_json')}) + ${bytes}`,
          response_json: responseJson,
        }))
        .where('id', '=', id)
        .where('status', 'in', RUNNING)
        .executeTakeFirst();
      if (done.numUpdatedRows === 0n) return false;
      await insertEvents(db, id, events);
      return true;
    });
    if (running) await this.#rows.written(bytes);
    return running;
  }

  async find({ id, owner, nowMs }: { id: string; owner: string; nowMs: number }) {
    const row = await this.#db
      .selectFrom('responses')
      .selectAll()
      .where('id', '=', id)
      .where('owner', '=', owner)
      .where('expires_at_ms', '>', nowMs)
      .executeTakeFirst();
    if (row === undefined) return null;
    return {
      id,
      owner,
      status: row.status as ResponseStatus,
      previousId: row.previous_id,
      createdAtMs: Number(row.created_at_ms),
      expiresAtMs: Number(row.expires_at_ms),
      inputJson: row.input_json,
      responseJson: row.response_json,
      eventsKept: row.events_kept === 1,
      aliveAtMs: row.alive_at_ms === null ? null : Number(row.alive_at_ms),
    };
  }

  async conversation(key: { id: string; owner: string; nowMs: number }): Promise<StoredConversation> {
    const { id, owner, nowMs } = key;
    // Sizes first: what is too long is not read.
    const { rows: line } = await sql<{ id: string; previous_id: string | null; bytes: number | string }>`
      WITH RECURSIVE line (id, previous_id, depth, bytes) AS (
        SELECT id, previous_id, 1, octet_length(input_json) + octet_length(response_json) FROM responses
        WHERE id = ${id} AND owner = ${owner} AND expires_at_ms > ${nowMs}
        UNION ALL
        SELECT r.id, r.previous_id, line.depth + 1,
          line.bytes + octet_length(r.input_json) + octet_length(r.response_json)
        FROM responses r JOIN line ON r.id = line.previous_id
        WHERE r.owner = ${owner} AND r.expires_at_ms > ${nowMs}
          AND line.depth <= ${CONVERSATION_TURNS_MAX} AND line.bytes <= ${CONVERSATION_BYTES_MAX}
      )
      SELECT id, previous_id, bytes FROM line ORDER BY depth DESC`.execute(this.#db);
    const [oldest] = line;
    if (line.length > CONVERSATION_TURNS_MAX || Number(oldest?.bytes ?? 0) > CONVERSATION_BYTES_MAX)
      return { kind: 'too-long' };
    if (oldest === undefined) return { kind: 'broken', missing: id };
    if (oldest.previous_id !== null) return { kind: 'broken', missing: oldest.previous_id };
    const found = await this.#turns(line.map((turn) => turn.id));
    const turns = line.flatMap((turn) => found.get(turn.id) ?? []);
    const gone = line.find((turn) => !found.has(turn.id));
    return gone === undefined ? { kind: 'whole', turns } : { kind: 'broken', missing: gone.id };
  }

  async #turns(ids: string[]): Promise<Map<string, ResponseTurn>> {
    const rows = await this.#db
      .selectFrom('responses')
      .select(['id', 'status', 'input_json', 'response_json', 'alive_at_ms'])
      .where('id', 'in', ids)
      .execute();
    return new Map(
      rows.map((row) => [
        row.id,
        {
          id: row.id,
          status: row.status as ResponseStatus,
          inputJson: row.input_json,
          responseJson: row.response_json,
          aliveAtMs: row.alive_at_ms === null ? null : Number(row.alive_at_ms),
        },
      ]),
    );
  }

  async remove({ id, owner }: { id: string; owner: string }): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('responses')
      .where('id', '=', id)
      .where('owner', '=', owner)
      .executeTakeFirst();
    return done.numDeletedRows > 0n;
  }

  async heartbeat({ ids, nowMs }: { ids: string[]; nowMs: number }): Promise<string[]> {
    if (ids.length === 0) return [];
    const alive = await this.#db
      .updateTable('responses')
      .set({ alive_at_ms: nowMs })
      .where('id', 'in', ids)
      .where('status', 'in', RUNNING)
      .returning('id')
      .execute();
    const goOn = new Set(alive.map(({ id }) => id));
    return ids.filter((id) => !goOn.has(id));
  }

  async appendEvents(id: string, events: ResponseEvent[]): Promise<void> {
    const bytes = bytesOf(events);
    await this.#db.transaction().execute(async (db) => {
      const grown = await db
        .updateTable('responses')
        .set((row) => ({ bytes: sql<number>`${row.ref('bytes')} + ${bytes}` }))
        .where('id', '=', id)
        .where('status', 'in', RUNNING)
        .executeTakeFirst();
      if (grown.numUpdatedRows > 0n) await insertEvents(db, id, events);
    });
    await this.#rows.written(bytes);
  }

  events({ id, after, limit }: { id: string; after: number; limit: number }): Promise<ResponseEvent[]> {
    return this.#db
      .selectFrom('response_events')
      .select(['sequence', 'data'])
      .where('response_id', '=', id)
      .where('sequence', '>', after)
      .orderBy('sequence')
      .limit(limit)
      .execute();
  }

  sweep(nowMs: number): Promise<void> {
    return this.#rows.sweep(nowMs);
  }
}

function sweptTable(db: Kysely<Tables>): SweptTable {
  return {
    expired: (nowMs, limit) =>
      db
        .selectFrom('responses')
        .select(['id as key', 'bytes'])
        .where('expires_at_ms', '<=', nowMs)
        .orderBy('expires_at_ms')
        .limit(limit)
        .execute(),
    // One that runs is finished first; it is bounded by what a request may take.
    oldest: (limit) =>
      db
        .selectFrom('responses')
        .select(['id as key', 'bytes'])
        .where('status', 'not in', RUNNING)
        .orderBy('created_at_ms')
        .limit(limit)
        .execute(),
    totalBytes: () => totalBytes(db, 'responses'),
    remove: (ids) => db.deleteFrom('responses').where('id', 'in', ids).execute(),
  };
}

async function insertEvents(db: Kysely<Tables>, id: string, events: readonly ResponseEvent[]): Promise<void> {
  for (const { sequence, data } of events)
    await db.insertInto('response_events').values({ response_id: id, sequence, data }).execute();
}

function bytesOf(events: readonly ResponseEvent[]): number {
  return events.reduce((sum, { data }) => sum + Buffer.byteLength(data), 0);
}
