/**
 * Items that come and go by the thousand a second, in no order. An item knows its place and is in one list at a time; `listAt` is
 * the list's to write, -1 outside.
 *
 * Not a Set: after enough deletions a Set moves to a new table, and the table it leaves points to that one (V8, OrderedHashTable).
 * Once one such table has grown old, the young collector must keep every table after it, and with them much of what was ever
 * in. With requests as items this costs a gateway about a tenth of its processor time.
 */
export interface ListItem {
  listAt: number;
}

export class IndexedList<T extends ListItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** Does nothing when it is in. */
  add(item: T): void {
    if (item.listAt >= 0) return;
    item.listAt = this.#items.length;
    this.#items.push(item);
  }

  /** Does nothing when it is not in. */
  remove(item: T): void {
    const at = item.listAt;
    if (at < 0) return;
    item.listAt = -1;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#items[at] = last;
    last.listAt = at;
  }

  /** Visits each item that is in throughout, at least once. `visit` may add and remove. */
  forEach(visit: (item: T) => void): void {
    for (let at = this.#items.length - 1; at >= 0; at--) {
      const item = this.#items[at];
      if (item !== undefined) visit(item);
    }
  }
}
