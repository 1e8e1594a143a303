/**
 * Gathers small requests (embeddings, rerank, classification) into batches for the engine: as large as `sizeMax` and
 * `weightMax` allow, and never later than `waitMaxMs` after the first of them came. Pure; the gateway sends what is due.
 *
 * Invariants: only items of one key (model and parameters) share a batch; the order of arrival is kept, within a batch and
 * between batches of a key; each item is in one batch or in none. When an engine refuses a batch, `split` halves it, so that
 * a bad item fails alone: one bad item of n costs at most 2 · log2(n) + 1 calls, n bad ones 2n - 1.
 */
export interface BatchItem {
  /** What must be equal within a batch. */
  key: string;
  /** Tokens, or bytes: what `weightMax` counts. */
  weight: number;
}

export interface BatchSettings {
  /** `max_batch_size`: 16 in development, 64 in production. */
  sizeMax: number;
  weightMax: number;
  waitMaxMs: number;
  /** Items that may wait, over all keys. */
  pendingMax: number;
}

export interface Batch<T> {
  key: string;
  items: readonly T[];
}

interface Group<T> {
  items: { item: T; atMs: number }[];
}

export class ItemBatcher<T extends BatchItem> {
  readonly #settings: BatchSettings;
  /** Only groups that hold something. */
  readonly #groups = new Map<string, Group<T>>();
  #pending = 0;

  constructor(settings: BatchSettings) {
    this.#settings = settings;
  }

  get pending(): number {
    return this.#pending;
  }

  /** False when `pendingMax` wait already; nothing is added then. */
  add(item: T, nowMs: number): boolean {
    if (this.#pending >= this.#settings.pendingMax) return false;
    let group = this.#groups.get(item.key);
    if (group === undefined) {
      group = { items: [] };
      this.#groups.set(item.key, group);
    }
    group.items.push({ item, atMs: nowMs });
    this.#pending++;
    return true;
  }

  /** Its client left. True when it waited. */
  remove(item: T): boolean {
    const group = this.#groups.get(item.key);
    const at = group?.items.findIndex((waiting) => waiting.item === item) ?? -1;
    if (group === undefined || at < 0) return false;
    group.items.splice(at, 1);
    this.#pending--;
    if (group.items.length === 0) this.#groups.delete(item.key);
    return true;
  }

  /** A batch that is full or has waited long enough; undefined: none. To be called until there is none. */
  due(nowMs: number): Batch<T> | undefined {
    for (const [key, group] of this.#groups) {
      const size = this.#fitting(group);
      const full = size < group.items.length || size >= this.#settings.sizeMax;
      if (full || nowMs >= group.items[0]!.atMs + this.#settings.waitMaxMs)
        return this.#cut(key, group, size);
    }
    return undefined;
  }

  /** When `due` has something without anybody coming; for a timer. */
  get nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { items } of this.#groups.values()) {
      next = Math.min(next, items[0]!.atMs + this.#settings.waitMaxMs);
    }
    return next;
  }

  /** Items from the front that make one batch; one at least, however heavy it is. */
  #fitting({ items }: Group<T>): number {
    let weight = 0;
    let size = 0;
    while (size < items.length && size < this.#settings.sizeMax) {
      weight += items[size]!.item.weight;
      if (size > 0 && weight > this.#settings.weightMax) break;
      size++;
    }
    return size;
  }

  #cut(key: string, group: Group<T>, size: number): Batch<T> {
    const cut = group.items.splice(0, size);
    this.#pending -= cut.length;
    // What is left goes behind other keys, so that none starves.
    this.#groups.delete(key);
    if (group.items.length > 0) this.#groups.set(key, group);
    return { key, items: cut.map(({ item }) => item) };
  }
}

/**
 * What to send after an engine refused a batch for what is in it (a 4xx, never a dead engine: that is a retry): its halves in
 * order, or nothing when one item was alone and the refusal is its own.
 */
export function split<T>({ key, items }: Batch<T>): Batch<T>[] {
  if (items.length <= 1) return [];
  const middle = items.length >> 1;
  return [
    { key, items: items.slice(0, middle) },
    { key, items: items.slice(middle) },
  ];
}
