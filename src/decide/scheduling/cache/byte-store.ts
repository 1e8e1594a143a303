/**
 * A store bounded by bytes: what was used longest ago goes first, and nothing outlives its time. The pure heart of the response
 * cache. Invariant: `bytes` is the sum of what is held and never above `bytesMax`.
 */

/** What an entry costs beside its value: the key, two map slots, the record. */
export const ENTRY_OVERHEAD_BYTES = 256;
/** Share of the store that one value may take. */
const VALUE_RATIO_MAX = 0.125;

interface Held<V> {
  key: string;
  value: V;
  bytes: number;
  expiresAtMs: number;
  /** Neighbours in the order of last use. A list of its own: the first key of a Map behind many deleted ones is slow to find. */
  older: Held<V> | null;
  newer: Held<V> | null;
}

export class ByteStore<V> {
  readonly bytesMax: number;
  readonly #held = new Map<string, Held<V>>();
  #oldest: Held<V> | null = null;
  #newest: Held<V> | null = null;
  #bytes = 0;
  evictions = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string, nowMs: number): V | undefined {
    const held = this.#held.get(key);
    if (held === undefined) return undefined;
    if (held.expiresAtMs <= nowMs) {
      this.#drop(held);
      return undefined;
    }
    this.#unlink(held);
    this.#append(held);
    return held.value;
  }

  /** False when it is too large for the store; what stood under the key is gone either way. */
  set(key: string, value: V, valueBytes: number, expiresAtMs: number): boolean {
    this.delete(key);
    const bytes = valueBytes + key.length * 2 + ENTRY_OVERHEAD_BYTES;
    if (bytes > this.bytesMax * VALUE_RATIO_MAX) return false;
    while (this.#oldest !== null && this.#bytes + bytes > this.bytesMax) {
      this.#drop(this.#oldest);
      this.evictions++;
    }
    const held: Held<V> = { key, value, bytes, expiresAtMs, older: null, newer: null };
    this.#held.set(key, held);
    this.#append(held);
    this.#bytes += bytes;
    return true;
  }

  delete(key: string): boolean {
    const held = this.#held.get(key);
    if (held !== undefined) this.#drop(held);
    return held !== undefined;
  }

  /** Drops what has expired among the `most` that were used longest ago; the driver calls it from time to time. */
  sweep(nowMs: number, most: number): number {
    let dropped = 0;
    let held = this.#oldest;
    for (let seen = 0; held !== null && seen < most; seen++) {
      const { newer } = held;
      if (held.expiresAtMs <= nowMs) {
        this.#drop(held);
        dropped++;
      }
      held = newer;
    }
    return dropped;
  }

  #drop(held: Held<V>): void {
    this.#held.delete(held.key);
    this.#unlink(held);
    this.#bytes -= held.bytes;
  }

  #append(held: Held<V>): void {
    held.older = this.#newest;
    held.newer = null;
    if (this.#newest === null) this.#oldest = held;
    else this.#newest.newer = held;
    this.#newest = held;
  }

  #unlink({ older, newer }: Held<V>): void {
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
  }
}
