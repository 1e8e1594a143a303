import { describe, expect, it } from 'vitest';
import { BoundedRows } from './bounded-rows.ts';

interface Row {
  key: string;
  bytes: number;
  expiresAtMs: number;
}

/** In the order of their age. */
function tableOf(count: number, bytes: number) {
  let rows: Row[] = Array.from({ length: count }, (_, index) => ({
    key: `r${index}`,
    bytes,
    expiresAtMs: index,
  }));
  let most = 0;
  return {
    keys: () => rows.map(({ key }) => key),
    add: (row: Row) => void rows.push(row),
    mostAtOnce: () => most,
    expired: async (nowMs: number, limit: number) =>
      rows.filter(({ expiresAtMs }) => expiresAtMs <= nowMs).slice(0, limit),
    oldest: async (limit: number) => rows.slice(0, limit),
    totalBytes: async () => rows.reduce((sum, row) => sum + row.bytes, 0),
    remove: async (keys: string[]) => {
      most = Math.max(most, keys.length);
      const gone = new Set(keys);
      rows = rows.filter(({ key }) => !gone.has(key));
    },
  };
}

describe('rows with a limit', () => {
  it('go when they have expired, some at a time', async () => {
    const table = tableOf(1_000, 1);
    await new BoundedRows(table, 1e9).sweep(899);
    expect(table.keys()).toHaveLength(100);
    expect(table.mostAtOnce()).toBeLessThanOrEqual(200);
  });

  it('give way by age beyond the bytes, and no more of them than must', async () => {
    const table = tableOf(1_000, 10);
    await new BoundedRows(table, 3_995).sweep(-1);
    expect(table.keys()).toHaveLength(399);
    expect(table.keys()[0]).toBe('r601');
    expect(table.mostAtOnce()).toBeLessThanOrEqual(200);
  });

  it('are looked at again when a share of the limit was written, sweep or not', async () => {
    const table = tableOf(10, 10);
    const rows = new BoundedRows(table, 100);
    const write = async (key: string, bytes: number) => {
      table.add({ key, bytes, expiresAtMs: 99 });
      await rows.written(bytes);
    };
    await write('a', 5);
    expect(table.keys()).toHaveLength(11);
    await write('b', 1);
    expect(table.keys()[0]).toBe('r1');
  });

  it('stay when none of them may give way', async () => {
    const table = { ...tableOf(5, 10), oldest: async () => [] };
    await new BoundedRows(table, 1).sweep(-1);
    expect(table.keys()).toHaveLength(5);
  });
});
