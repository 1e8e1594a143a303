/** Opens the state database as all our processes share it: WAL, present tables, bounded waits. */
import { chmodSync } from 'node:fs';
import SqliteDatabase, { type Database } from 'better-sqlite3';
import { type Migration, migrate } from './migrate.ts';

/** Longest wait for the write lock of another process, ms. Writes take milliseconds. */
const BUSY_TIMEOUT_MS = 5_000;
/** Turns of 20 ms in which the first opening of a new file, by several processes at once, must succeed. */
const WAL_TURNS_MAX = 250;
/** The write-ahead log is cut back to this after a checkpoint. */
const WAL_BYTES_KEPT = 16 * 1024 * 1024;

/** Throws SqliteError, or `storage_unavailable` for a file of a newer release. */
export function openFile(file: string, migrations: readonly Migration[]): Database {
  const database = new SqliteDatabase(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    // What it holds is the clients' business alone.
    chmodSync(file, 0o600);
    database.pragma('auto_vacuum = INCREMENTAL');
    useWal(database);
    database.pragma('synchronous = NORMAL');
    database.pragma('foreign_keys = ON');
    database.pragma(`journal_size_limit = ${WAL_BYTES_KEPT}`);
    migrate(database, migrations);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The change to WAL needs the file for a moment alone, and does not wait for it by the busy timeout. */
function useWal(database: Database): void {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let turn = 0; ; turn++) {
    try {
      database.pragma('journal_mode = WAL');
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_BUSY' || turn === WAL_TURNS_MAX) throw error;
      Atomics.wait(sleeper, 0, 0, 20);
    }
  }
}
