/** Opens the state database as all our processes share it: WAL, present tables, bounded waits. */
import { chmodSync } from 'node:fs';
import { type Migration, migrate } from './migrate.ts';
import { type Database, DatabaseSync } from './node-sqlite.ts';
import { sqliteCode } from './sqlite-error.ts';

/** Longest wait for the write lock of another process, ms. Writes take milliseconds. */
const BUSY_TIMEOUT_MS = 5_000;
/** Turns of 20 ms in which the first opening of a new file, by several processes at once, must succeed. */
const WAL_TURNS_MAX = 250;
/** The write-ahead log is cut back to this after a checkpoint. */
const WAL_BYTES_KEPT = 16 * 1024 * 1024;

/** Throws SQLite's error, or `storage_unavailable` for a file of a newer release. */
export function openFile(file: string, migrations: readonly Migration[]): Database {
  const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    // What it holds is the clients' business alone.
    chmodSync(file, 0o600);
    database.exec('PRAGMA auto_vacuum = INCREMENTAL');
    useWal(database);
    database.exec('PRAGMA synchronous = NORMAL');
    database.exec('PRAGMA foreign_keys = ON');
    // What a client deletes is overwritten, not only forgotten.
    database.exec('PRAGMA secure_delete = ON');
    database.exec(`PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`);
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
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (!sqliteCode(error)?.startsWith('SQLITE_BUSY') || turn === WAL_TURNS_MAX) throw error;
      Atomics.wait(sleeper, 0, 0, 20);
    }
  }
}
