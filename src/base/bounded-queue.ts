/**
 * A first-in first-out queue with a bound, constant-time removal from the middle and a way to the front.
 * Used where a departed owner must vanish from the queue at once.
 */
export class BoundedQueue<T> {
  readonly #items = new Set<T>();
  readonly #front: T[] = [];
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#items.size + this.#front.length;
  }

  /** False when the queue is full; nothing is added then. */
  push(item: T): boolean {
    if (this.size >= this.capacity) return false;
    this.#items.add(item);
    return true;
  }

  /** Puts an item ahead of all others. Never refused: the caller holds work that was already admitted once. */
  pushFront(item: T): void {
    this.#front.push(item);
  }

  shift(): T | undefined {
    const first = this.#front.shift();
    if (first !== undefined) return first;
    for (const item of this.#items) {
      this.#items.delete(item);
      return item;
    }
    return undefined;
  }

  /** The next item that `accept` likes, in order, removed from the queue. */
  take(accept: (item: T) => boolean): T | undefined {
    const index = this.#front.findIndex(accept);
    if (index >= 0) return this.#front.splice(index, 1)[0];
    for (const item of this.#items) {
      if (!accept(item)) continue;
      this.#items.delete(item);
      return item;
    }
    return undefined;
  }

  /** True when the item was queued. */
  remove(item: T): boolean {
    if (this.#items.delete(item)) return true;
    const index = this.#front.indexOf(item);
    if (index < 0) return false;
    this.#front.splice(index, 1);
    return true;
  }

  *[Symbol.iterator](): Iterator<T> {
    yield* this.#front;
    yield* this.#items;
  }
}
