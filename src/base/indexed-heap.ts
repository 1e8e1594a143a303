/**
 * A binary heap whose items know their place, so that one whose order changed, or that must vanish, is found at once.
 * An item is in one heap at a time; `heapAt` is the heap's to write, -1 outside.
 */
export interface HeapItem {
  heapAt: number;
}

export class IndexedHeap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  get first(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    this.#items.push(item);
    this.#up(item, this.#items.length - 1);
  }

  shift(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** True when it was in. */
  remove(item: T): boolean {
    const at = item.heapAt;
    if (at < 0 || this.#items[at] !== item) return false;
    item.heapAt = -1;
    const last = this.#items.pop()!;
    if (last !== item) this.#place(last, at);
    return true;
  }

  /** To be called when the order of an item that is in has changed. */
  moved(item: T): void {
    if (this.#items[item.heapAt] === item) this.#place(item, item.heapAt);
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }

  #place(item: T, at: number): void {
    this.#items[at] = item;
    item.heapAt = at;
    this.#up(item, at);
    this.#down(item, item.heapAt);
  }

  #up(item: T, from: number): void {
    let at = from;
    while (at > 0) {
      const above = this.#items[(at - 1) >> 1]!;
      if (!this.#isBefore(item, above)) break;
      this.#items[at] = above;
      above.heapAt = at;
      at = (at - 1) >> 1;
    }
    this.#items[at] = item;
    item.heapAt = at;
  }

  #down(item: T, from: number): void {
    const items = this.#items;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && this.#isBefore(items[below + 1]!, items[below]!)) below++;
      if (!this.#isBefore(items[below]!, item)) break;
      items[at] = items[below]!;
      items[at]!.heapAt = at;
      at = below;
    }
    items[at] = item;
    item.heapAt = at;
  }
}
