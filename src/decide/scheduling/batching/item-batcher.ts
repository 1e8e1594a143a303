/**
 * Gathers small requests (embeddings, rerank, score, classification) into batches for the engine. What comes while nothing of its
 * kind is under way goes at once, so that a lone request waits for nobody; what comes while something is, waits until that has
 * ended, until the batch is as large as `unitsMax` and `weightMax` allow, or until its first item has waited `waitMaxMs`. Pure;
 * the gateway tells the time, sends what is due and says when it has ended.
 *
 * Invariants: only items of one key (model, parameters, tenant) share a batch; the order of arrival is kept, within a batch and
 * between batches of a key; each item is in one batch or in none. When an engine refuses a batch, `split` halves it, so that
 * a bad item fails alone: one bad item of n costs at most 2 · log2(n) + 1 calls, n bad ones 2n - 1.
 */
import { invariant } from '../../../base/invariant.ts';

export interface BatchItem {
  /** What must be equal within a batch. */
  key: string;
  /** Inputs of the engine that it brings, 1 at least: what `unitsMax` counts. */
  units: number;
  /** Bytes: what `weightMax` counts. */
  weight: number;
}

export interface BatchSettings {
  /** `max_batch_size`: 16 in development, 64 in production. */
  unitsMax: number;
  weightMax: number;
  waitMaxMs: number;
  /** Items that may wait, over all keys. */
  pendingMax: number;
}

export interface Batch<T> {
  key: string;
  /** In the order of arrival; one at least. */
  items: readonly T[];
}

interface Group<T> {
  items: { item: T; atMs: number }[];
}

export class ItemBatcher<T extends BatchItem> {
  #settings: BatchSettings;
  /** Only groups that hold something. */
  readonly #groups = new Map<string, Group<T>>();
  /** Batches that were given out and have not ended, by key; only keys that have some. */
  readonly #underWay = new Map<string, number>();
  #pending = 0;

  constructor(settings: BatchSettings) {
    this.#settings = settings;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Nothing waits, and nothing that was given out is under way. */
  get isIdle(): boolean {
    return this.#pending === 0 && this.#underWay.size === 0;
  }

  update(settings: BatchSettings): void {
    this.#settings = settings;
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

  /** All batches that are due. Each is under way from here on, until `ended` is called for its key. */
  takeDue(nowMs: number): Batch<T>[] {
    const due: Batch<T>[] = [];
    for (const [key, group] of this.#groups) {
      for (let size = this.#due(key, group, nowMs); size > 0; size = this.#due(key, group, nowMs)) {
        due.push({ key, items: group.items.splice(0, size).map(({ item }) => item) });
        this.#pending -= size;
        this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1);
      }
      if (group.items.length === 0) this.#groups.delete(key);
    }
    return due;
  }

  /** A batch of this key is no longer under way: all of it is answered, or gone. */
  ended(key: string): void {
    const left = (this.#underWay.get(key) ?? 0) - 1;
    invariant(left >= 0, `a batch ended that was not under way; key ${key}`);
    if (left === 0) this.#underWay.delete(key);
    else this.#underWay.set(key, left);
  }

  /** When `takeDue` has something without anybody coming or ending; for a timer. */
  get nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { items } of this.#groups.values()) {
      next = Math.min(next, items[0]!.atMs + this.#settings.waitMaxMs);
    }
    return next;
  }

  /** How many items from the front are to go now; 0: none. */
  #due(key: string, { items }: Group<T>, nowMs: number): number {
    const [first] = items;
    if (first === undefined) return 0;
    const { size, full } = this.#fitting(items);
    const waited = nowMs >= first.atMs + this.#settings.waitMaxMs;
    return full || waited || !this.#underWay.has(key) ? size : 0;
  }

  /** Items from the front that make one batch; one at least, however large it is. `full`: no further one would fit. */
  #fitting(items: Group<T>['items']): { size: number; full: boolean } {
    const { unitsMax, weightMax } = this.#settings;
    let units = 0;
    let weight = 0;
    let size = 0;
    for (const { item } of items) {
      units += item.units;
      weight += item.weight;
      if (size > 0 && (units > unitsMax || weight > weightMax)) return { size, full: true };
      size++;
      if (units >= unitsMax || weight >= weightMax) return { size, full: true };
    }
    return { size, full: false };
  }
}

/**
 * What to send after an engine refused a batch for what is in it: its halves in order, or nothing when one item was alone and the
 * refusal is its own.
 */
export function split<T>({ key, items }: Batch<T>): Batch<T>[] {
  if (items.length <= 1) return [];
  const middle = items.length >> 1;
  return [
    { key, items: items.slice(0, middle) },
    { key, items: items.slice(middle) },
  ];
}
