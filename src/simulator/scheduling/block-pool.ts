/**
 * The KV cache of the pretend engine: a fixed number of blocks, counted, and a prefix cache over full blocks by chained hash.
 * A cached block that nobody uses stays until its place is needed; the one unused for longest goes first.
 *
 * Invariant: inUse + idle <= capacity. Deterministic, without clock and I/O. Owned by the batch scheduler.
 */

import { invariant } from '../../base/invariant.ts';
import { mix32 } from '../../base/random.ts';

/** The blocks of one sequence. */
export interface BlockHolding {
  /** Blocks that only this sequence can read: not full yet, or doubles of cached ones. */
  private: number;
  /** Hashes of the full blocks that it shares through the cache. */
  shared: number[];
}

/** Chained hashes of the full blocks of `tokens`, so that equal hashes mean equal prefixes. `known` are the first ones. */
export function blockHashes(tokens: readonly number[], blockSize: number, known: number[] = []): number[] {
  const hashes = known;
  while ((hashes.length + 1) * blockSize <= tokens.length) {
    const from = hashes.length * blockSize;
    let high = mix32(hashes[hashes.length - 1] ?? 1, from);
    let low = mix32(high, 0x626c6b);
    for (let i = from; i < from + blockSize; i++) {
      high = mix32(high, tokens[i] as number);
      low = mix32(low, tokens[i] as number, 7);
    }
    // 53 bits, the most that a number holds exactly: collisions are out of the question in a test run.
    hashes.push(high * 2 ** 21 + (low >>> 11));
  }
  return hashes;
}

export class BlockPool {
  readonly capacity: number;
  readonly #users = new Map<number, number>();
  /** Cached blocks without users, oldest first. */
  readonly #idle = new Set<number>();
  #inUse = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** Blocks that could be had at once. */
  get available(): number {
    return this.capacity - this.#inUse;
  }

  get usageRatio(): number {
    return this.#inUse / this.capacity;
  }

  /** How many of the leading hashes are in the cache. */
  cachedPrefix(hashes: readonly number[]): number {
    const missing = hashes.findIndex((hash) => !this.#users.has(hash) && !this.#idle.has(hash));
    return missing < 0 ? hashes.length : missing;
  }

  /** How many blocks `take` would need for these cached ones: those without users count. */
  costOfSharing(hashes: readonly number[]): number {
    return hashes.filter((hash) => this.#idle.has(hash)).length;
  }

  /** Takes cached blocks into use. */
  share(holding: BlockHolding, hashes: readonly number[]): void {
    for (const hash of hashes) {
      if (this.#idle.delete(hash)) {
        this.#users.set(hash, 1);
        this.#inUse++;
      } else {
        this.#users.set(hash, (this.#users.get(hash) ?? 0) + 1);
      }
      holding.shared.push(hash);
    }
  }

  /** Takes `count` blocks; the caller has seen that they are available. */
  allocate(holding: BlockHolding, count: number): void {
    invariant(count <= this.available, `${count} blocks asked, ${this.available} available`);
    holding.private += count;
    this.#inUse += count;
    while (this.#inUse + this.#idle.size > this.capacity) {
      const [oldest] = this.#idle;
      this.#idle.delete(oldest as number);
    }
  }

  /** Offers a block that has become full to others. A double of a cached block stays private. */
  publish(holding: BlockHolding, hash: number): void {
    if (this.#users.has(hash) || this.#idle.has(hash)) return;
    holding.private--;
    holding.shared.push(hash);
    this.#users.set(hash, 1);
  }

  /** Empties the prefix cache; false while a sequence holds a block. */
  clear(): boolean {
    if (this.#inUse > 0) return false;
    this.#idle.clear();
    return true;
  }

  /** Gives back all blocks of a sequence; full ones stay cached while there is room. */
  release(holding: BlockHolding): void {
    this.#inUse -= holding.private;
    holding.private = 0;
    for (const hash of holding.shared) {
      const users = (this.#users.get(hash) ?? 1) - 1;
      if (users > 0) {
        this.#users.set(hash, users);
        continue;
      }
      this.#users.delete(hash);
      this.#inUse--;
      this.#idle.add(hash);
    }
    holding.shared = [];
  }
}
