/**
 * A store bounded by bytes: what was used longest ago goes first, and nothing outlives its time. The pure heart of the response
 * cache. Invariant: `bytes` is the sum of what is held and never above `bytesMax`.
 */

/** What an entry costs beside its value: the key, two map slots, the record. */
export const ENTRY_OVERHEAD_BYTES = 256;
/** Share of the store that one value may take. */
const VALUE_RATIO_MAX = 0.125;

interface Held<V> {
  value: V;
  bytes: number;
  expiresAtMs: number;
}

export class ByteStore<V> {
  readonly bytesMax: number;
  /** In the order of their last use. */
  readonly #held = new Map<string, Held<V>>();
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
    this.#held.delete(key);
    if (held.expiresAtMs <= nowMs) {
      this.#bytes -= held.bytes;
      return undefined;
    }
    this.#held.set(key, held);
    return held.value;
  }

  /** False when it is too large for the store; what stood under the key is gone either way. */
  set(key: string, value: V, valueBytes: number, expiresAtMs: number): boolean {
    this.delete(key);
    const bytes = valueBytes + key.length * 2 + ENTRY_OVERHEAD_BYTES;
    if (bytes > this.bytesMax * VALUE_RATIO_MAX) return false;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes + bytes <= this.bytesMax) break;
      this.delete(oldest);
      this.evictions++;
    }
    this.#held.set(key, { value, bytes, expiresAtMs });
    this.#bytes += bytes;
    return true;
  }

  delete(key: string): boolean {
    const held = this.#held.get(key);
    if (held === undefined) return false;
    this.#held.delete(key);
    this.#bytes -= held.bytes;
    return true;
  }

  /** Drops up to `most` expired entries from those that were used longest ago; the driver calls it from time to time. */
  sweep(nowMs: number, most: number): number {
    let dropped = 0;
    let seen = 0;
    for (const [key, held] of this.#held) {
      if (seen++ >= most) break;
      if (held.expiresAtMs <= nowMs && this.delete(key)) dropped++;
    }
    return dropped;
  }
}
