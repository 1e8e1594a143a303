/**
 * Brings the tables of an open database to the present version: all missing steps in one transaction, so that a crash leaves
 * the old version or the new one. Several processes may do it at once; the write lock lets one through, and the others find
 * nothing left to do.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { Database } from './node-sqlite.ts';

export interface Migration {
  /** 1, 2, 3, without gaps; the file name begins with it. */
  version: number;
  name: string;
  sql: string;
}

/** Throws `storage_unavailable` for a file of a newer release, and SQLite's error when the file cannot be used. */
export function migrate(database: Database, migrations: readonly Migration[]): void {
  // The usual opening changes nothing and needs no write lock, which another process may hold.
  if (isPresent(database, migrations)) return;
  database.exec('BEGIN IMMEDIATE');
  try {
    addMissing(database, migrations);
    database.exec('COMMIT');
  } finally {
    // On a full disk SQLite has done it by itself.
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}

function addMissing(database: Database, migrations: readonly Migration[]): void {
  database.exec(
    'CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at_ms INTEGER NOT NULL) STRICT',
  );
  const found = versionOf(database);
  refuseNewer(database, found, migrations);
  const note = database.prepare(
    'INSERT INTO schema_migrations (version, name, applied_at_ms) VALUES (?, ?, ?)',
  );
  for (const { version, name, sql } of migrations) {
    if (version <= found) continue;
    database.exec(sql);
    note.run(version, name, Date.now());
  }
}

function isPresent(database: Database, migrations: readonly Migration[]): boolean {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'").get();
  if (table === undefined) return false;
  const found = versionOf(database);
  refuseNewer(database, found, migrations);
  return found === (migrations.at(-1)?.version ?? 0);
}

function versionOf(database: Database): number {
  const newest = database.prepare('SELECT coalesce(max(version), 0) AS version FROM schema_migrations').get();
  return (newest as { version: number }).version;
}

function refuseNewer(database: Database, found: number, migrations: readonly Migration[]): void {
  const known = migrations.at(-1)?.version ?? 0;
  if (found <= known) return;
  throw new PlatformError(
    'storage_unavailable',
    `${database.location()} has tables of version ${found}, and this release knows version ${known}; run the newer release again, or move the file away to begin with an empty one`,
  );
}
