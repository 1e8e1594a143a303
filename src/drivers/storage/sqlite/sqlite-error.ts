/**
 * What went wrong in SQLite, by the names that its documentation uses. Node throws one class for everything: a number, which
 * has the kind in its low byte and the detail above it, and a text.
 */

/** By result code (https://sqlite.org/rescode.html); those that people or our code can do something about. */
const NAMES: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  3: 'SQLITE_PERM',
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  7: 'SQLITE_NOMEM',
  8: 'SQLITE_READONLY',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  15: 'SQLITE_PROTOCOL',
  19: 'SQLITE_CONSTRAINT',
  26: 'SQLITE_NOTADB',
};

/** `SQLITE_FULL`; with a detail `SQLITE_IOERR 778`. Undefined for what SQLite did not throw. */
export function sqliteCode(error: unknown): string | undefined {
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown };
  if (code !== 'ERR_SQLITE_ERROR' || typeof errcode !== 'number') return undefined;
  const kind = errcode & 0xff;
  const name = NAMES[kind];
  if (name === undefined) return `SQLITE_ERROR ${errcode}`;
  return errcode === kind ? name : `${name} ${errcode}`;
}
