import { describe, expect, it } from 'vitest';
import { DatabaseSync } from './node-sqlite.ts';
import { sqliteCode } from './sqlite-error.ts';

const thrownBy = (sql: string) => {
  const database = new DatabaseSync(':memory:');
  try {
    database.exec('CREATE TABLE t (a INTEGER PRIMARY KEY)');
    database.exec(sql);
    return null;
  } catch (error) {
    return error;
  } finally {
    database.close();
  }
};

describe('sqliteCode', () => {
  it('names the kind, and adds the number of a detail', () => {
    expect(sqliteCode(thrownBy('SELECT b'))).toBe('SQLITE_ERROR');
    expect(sqliteCode(thrownBy('INSERT INTO t VALUES (1), (1)'))).toBe('SQLITE_CONSTRAINT 1555');
    expect(sqliteCode(thrownBy('PRAGMA max_page_count = 2; CREATE TABLE b (x)'))).toBe('SQLITE_FULL');
  });

  it('leaves out what SQLite did not throw', () => {
    for (const error of [null, 'SQLITE_FULL', new Error('x'), { code: 'ENOSPC', errcode: 13 }])
      expect(sqliteCode(error)).toBeUndefined();
  });
});
