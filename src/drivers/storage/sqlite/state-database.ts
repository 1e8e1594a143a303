/**
 * The state database of one process: opened when it is first needed, opened again when it failed or the file was replaced,
 * set aside when it is corrupt. Work is done one piece after another. Owner: the storage thread.
 *
 * Whatever goes wrong here is `storage_unavailable` for the caller: nothing but what needs the database may suffer from it.
 */
import { join } from 'node:path';
import { Kysely } from 'kysely';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { Tables } from '../sql/tables.ts';
import { ImmediateDialect } from './immediate-dialect.ts';
import type { Migration } from './migrate.ts';
import type { Database } from './node-sqlite.ts';
import { openFile } from './open-file.ts';
import { inodeOf, setAside } from './set-aside.ts';
import { sqliteCode } from './sqlite-error.ts';

export const STATE_FILE = 'state.db';
/** After a failed opening the next is tried no sooner. */
const REOPEN_MS = 1_000;
/** How often it is asked whether the path still names the file that is open. */
const INODE_CHECK_MS = 1_000;

/** Of 4 KiB each, in one go. */
const RECLAIM_PAGES_MAX = 2_000;

export interface StateDatabaseOptions {
  stateDir: string;
  migrations: readonly Migration[];
  clock: Clock;
  log(level: 'warn' | 'error', message: string, detail: Record<string, unknown>): void;
}

interface OpenDatabase {
  database: Database;
  queries: Kysely<Tables>;
  inode: number;
}

export class StateDatabase {
  readonly #options: StateDatabaseOptions;
  readonly #file: string;
  #open: OpenDatabase | null = null;
  #inodeCheckedMs = 0;
  #failure: { error: PlatformError; atMs: number } | null = null;

  constructor(options: StateDatabaseOptions) {
    this.#options = options;
    this.#file = join(options.stateDir, STATE_FILE);
  }

  /** Rejects with `storage_unavailable`, or with what `work` throws beside errors of the database. */
  async use<T>(work: (queries: Kysely<Tables>) => Promise<T>): Promise<T> {
    try {
      return await work(this.#queries());
    } catch (error) {
      if (!isCorrupt(error)) throw this.#explain(error);
      this.#leaveCorrupt(error);
    }
    try {
      return await work(this.#queries());
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Gives pages that are free back to the disk, some at a time. */
  reclaim(): void {
    this.#open?.database.exec(`PRAGMA incremental_vacuum(${RECLAIM_PAGES_MAX})`);
  }

  close(): void {
    const open = this.#open;
    this.#open = null;
    open?.database.close();
  }

  #queries(): Kysely<Tables> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#open !== null && nowMs - this.#inodeCheckedMs > INODE_CHECK_MS) {
      this.#inodeCheckedMs = nowMs;
      if (inodeOf(this.#file) !== this.#open.inode) this.close();
    }
    if (this.#open !== null) return this.#open.queries;
    if (this.#failure !== null && nowMs - this.#failure.atMs < REOPEN_MS) throw this.#failure.error;
    return this.#reopen();
  }

  #reopen(): Kysely<Tables> {
    let database: Database;
    try {
      database = openFile(this.#file, this.#options.migrations);
    } catch (error) {
      if (isCorrupt(error)) throw error;
      const explained = this.#explain(error);
      this.#failure = { error: explained, atMs: this.#options.clock.monotonicMs() };
      this.#options.log('error', 'the state database cannot be opened', { problem: explained.message });
      throw explained;
    }
    this.#failure = null;
    this.#inodeCheckedMs = this.#options.clock.monotonicMs();
    const queries = new Kysely<Tables>({ dialect: new ImmediateDialect(database) });
    this.#open = { database, queries, inode: inodeOf(this.#file) };
    return queries;
  }

  #leaveCorrupt(error: unknown): void {
    const inode = this.#open?.inode ?? inodeOf(this.#file);
    this.close();
    try {
      const keptAs = setAside(this.#file, inode, this.#options.clock.wallMs());
      this.#options.log(
        'error',
        'the state database is corrupt; it was set aside and a new one is begun',
        keptAs === null ? { problem: String(error) } : { problem: String(error), keptAs },
      );
    } catch (problem) {
      throw new PlatformError(
        'storage_unavailable',
        `${this.#file} is corrupt and cannot be set aside: ${(problem as Error).message}; move it away`,
        { cause: error },
      );
    }
  }

  #explain(error: unknown): PlatformError {
    if (error instanceof PlatformError) return error;
    const code = sqliteCode(error);
    if (code === undefined) return PlatformError.from(error);
    // A file that cannot be read or written may be another one by the next try.
    if (/^SQLITE_(IOERR|CANTOPEN|READONLY|NOTADB|CORRUPT)/.test(code)) this.close();
    const what = /^SQLITE_FULL/.test(code) ? 'the disk is full' : (error as Error).message;
    return new PlatformError('storage_unavailable', `${this.#file} cannot be used: ${what} (${code})`, {
      cause: error,
      retryAfterS: 5,
    });
  }
}

function isCorrupt(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(error) ?? '');
}
