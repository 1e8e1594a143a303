/**
 * Keeps a table within its time and its bytes: what has expired goes, then the oldest beyond the limit, and no more than must.
 * Rows go some at a time, so that others get their turn in between; what a sweep leaves waits for the next.
 */
interface SweptRow {
  key: string;
  bytes: number;
}

/** The table, as queries of its store. */
export interface SweptTable {
  /** At most `limit`, in any order. */
  expired(nowMs: number, limit: number): Promise<SweptRow[]>;
  /** Those that may give way, the oldest first, at most `limit`. */
  oldest(limit: number): Promise<SweptRow[]>;
  /** Of all rows. */
  totalBytes(): Promise<number>;
  remove(keys: string[]): Promise<unknown>;
}

/** Rows that one statement takes away, and statements of one sweep. */
const SWEEP_ROWS = 200;
const SWEEP_TURNS_MAX = 100;
/** Share of the limit that may be written before the limit is looked at again, sweep or not. */
const UNCHECKED_RATIO = 0.05;

export class BoundedRows {
  readonly #table: SweptTable;
  readonly #bytesMax: number;
  #uncheckedBytes = 0;

  constructor(table: SweptTable, bytesMax: number) {
    this.#table = table;
    this.#bytesMax = bytesMax;
  }

  async sweep(nowMs: number): Promise<void> {
    for (let turn = 0; turn < SWEEP_TURNS_MAX; turn++) {
      const expired = await this.#table.expired(nowMs, SWEEP_ROWS);
      await this.#remove(expired);
      if (expired.length < SWEEP_ROWS) break;
    }
    await this.#evict();
  }

  /** So many bytes more were written. */
  async written(bytes: number): Promise<void> {
    this.#uncheckedBytes += bytes;
    if (this.#uncheckedBytes > this.#bytesMax * UNCHECKED_RATIO) await this.#evict();
  }

  async #evict(): Promise<void> {
    this.#uncheckedBytes = 0;
    let excess = (await this.#table.totalBytes()) - this.#bytesMax;
    for (let turn = 0; turn < SWEEP_TURNS_MAX && excess > 0; turn++) {
      const surplus: SweptRow[] = [];
      for (const row of await this.#table.oldest(SWEEP_ROWS)) {
        if (excess <= 0) break;
        surplus.push(row);
        excess -= Number(row.bytes);
      }
      if (surplus.length === 0) return;
      await this.#remove(surplus);
    }
  }

  async #remove(rows: readonly SweptRow[]): Promise<void> {
    if (rows.length > 0) await this.#table.remove(rows.map(({ key }) => key));
  }
}
