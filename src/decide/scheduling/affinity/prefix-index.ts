/**
 * Which replica has seen which beginning of a prompt: a set-associative table in memory that is handed in, usually a
 * SharedArrayBuffer that all workers of a gateway use, so that a prefix is learned once and kept once.
 *
 * Invariant: the table never grows; what is used least recently leaves its set first. Entries are hints. Workers write
 * without locks: an aligned 32-bit cell never tears, and a tag that is read beside the value of another entry sends one
 * request to a replica without the prefix, within the load bound.
 *
 * An entry is 8 bytes: tag | slot (9 bits), life (5), age (18, in units of AGE_UNIT_MS). A set is 8 entries, one cache line.
 */
import { REPLICA_SLOTS_MAX, type ReplicaColumns } from '../pick/replica-columns.ts';
import type { PromptBlocks } from './prompt-blocks.ts';

const WAYS = 8;
const CELLS_PER_SET = WAYS * 2;
export const ENTRY_BYTES = 8;
/** 16 MiB: 2,097,152 entries, about 100,000 prompts of 5,000 characters that share nothing. */
export const PREFIX_INDEX_BYTES = 16 * 1024 * 1024;
const AGE_UNIT_MS = 250;
const AGE_BITS = 18;
const AGE_MASK = (1 << AGE_BITS) - 1;
const LIFE_MASK = 31;
const SLOT_SHIFT = AGE_BITS + 5;

export class PrefixIndex {
  readonly #cells: Int32Array;
  readonly #setMask: number;
  readonly #rememberUnits: number;

  /**
   * @param memory its byte length must be a power of two, 64 at least; PREFIX_INDEX_BYTES is usual. Zeros: empty.
   * @param rememberMs how long a prefix counts after its last use: about as long as engines keep it. At most 9 hours: ages
   *   come round after 18, and what has not been evicted by then counts once more.
   */
  constructor(memory: ArrayBufferLike, rememberMs = 3_600_000) {
    const { byteLength } = memory;
    if (byteLength < CELLS_PER_SET * 4 || (byteLength & (byteLength - 1)) !== 0) {
      throw new RangeError(`a prefix index of ${byteLength} bytes; a power of two from 64 on is possible`);
    }
    this.#cells = new Int32Array(memory);
    this.#setMask = byteLength / (CELLS_PER_SET * 4) - 1;
    this.#rememberUnits = Math.min(AGE_MASK >> 1, Math.ceil(rememberMs / AGE_UNIT_MS));
  }

  /**
   * Fills `depth` with the blocks that each replica of the pool has seen, 0 where none. The chain makes the deepest entry
   * enough: who has seen block i has seen all before it.
   */
  lookup(blocks: PromptBlocks, columns: ReplicaColumns, nowMs: number, depth: Int32Array): void {
    const cells = this.#cells;
    const now = ageUnits(nowMs);
    for (let index = 0; index < columns.count; index++) depth[index] = 0;
    let unknown = columns.count;
    for (let block = blocks.count - 1; block >= 0 && unknown > 0; block--) {
      const tag = blocks.tags[block]!;
      const first = (blocks.places[block]! & this.#setMask) * CELLS_PER_SET;
      for (let cell = first; cell < first + CELLS_PER_SET; cell += 2) {
        if (cells[cell] !== tag) continue;
        const value = cells[cell + 1]!;
        const index = columns.indexOfSlot[value >>> SLOT_SHIFT]!;
        if (index < 0 || depth[index] !== 0) continue;
        if (((value >>> AGE_BITS) & LIFE_MASK) !== (columns.life[index]! & LIFE_MASK)) continue;
        if (((now - value) & AGE_MASK) > this.#rememberUnits) continue;
        depth[index] = block + 1;
        unknown--;
      }
    }
  }

  /** The replica in `slot` is given this prompt. */
  remember(blocks: PromptBlocks, slot: number, life: number, nowMs: number): void {
    if (slot < 0 || slot >= REPLICA_SLOTS_MAX) return;
    const now = ageUnits(nowMs);
    const value = (slot << SLOT_SHIFT) | ((life & LIFE_MASK) << AGE_BITS) | now;
    for (let block = 0; block < blocks.count; block++) {
      this.#put(blocks.places[block]!, blocks.tags[block]!, value, now);
    }
  }

  /** Entries in use; looks at all of them, for status and tests. */
  get size(): number {
    let used = 0;
    for (let cell = 0; cell < this.#cells.length; cell += 2) if (this.#cells[cell] !== 0) used++;
    return used;
  }

  get bytes(): number {
    return this.#cells.byteLength;
  }

  #put(place: number, tag: number, value: number, now: number): void {
    const cells = this.#cells;
    const first = (place & this.#setMask) * CELLS_PER_SET;
    let victim = first;
    let oldest = -1;
    for (let cell = first; cell < first + CELLS_PER_SET; cell += 2) {
      const known = cells[cell];
      if (known === tag && cells[cell + 1]! >>> SLOT_SHIFT === value >>> SLOT_SHIFT) {
        cells[cell + 1] = value;
        return;
      }
      const age = known === 0 ? AGE_MASK + 1 : (now - cells[cell + 1]!) & AGE_MASK;
      if (age > oldest) {
        oldest = age;
        victim = cell;
      }
    }
    cells[victim] = tag;
    cells[victim + 1] = value;
  }
}

function ageUnits(nowMs: number): number {
  return Math.floor(nowMs / AGE_UNIT_MS) & AGE_MASK;
}
