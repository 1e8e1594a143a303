/**
 * Which of the kept vectors of a partition is nearest to a given one, by the cosine of their angle. Exact: every vector of the
 * partition is looked at, and none of another.
 *
 * Invariants: the size in bytes is never above `bytesMax` (partitions that were used longest ago go first), and a partition holds
 * at most `partitionMax` vectors (the oldest goes first), which bounds the time of a look.
 */
export interface VectorIndexLimits {
  bytesMax: number;
  partitionMax: number;
}

export interface Nearest {
  key: string;
  /** -1 to 1. */
  similarity: number;
}

interface Partition {
  dimensions: number;
  /** Of length 1, one after another; room for `capacity` of them. */
  vectors: Float32Array;
  /** Null: the place is free. */
  keys: (string | null)[];
  /** The place that the next vector takes. */
  next: number;
}

const FIRST_CAPACITY = 8;
/** What a vector takes beside its numbers. */
const KEY_BYTES = 128;
const PARTITION_BYTES = 512;

export class VectorIndex {
  readonly #limits: VectorIndexLimits;
  /** In the order of last use. */
  readonly #partitions = new Map<string, Partition>();
  #bytes = 0;

  constructor(limits: VectorIndexLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Vectors of another length than the partition's first, and of no length, are left out. */
  add(name: string, vector: Float32Array, key: string): void {
    const unit = unitOf(vector);
    if (unit === null) return;
    const partition = this.#use(name) ?? this.#create(name, vector.length);
    if (partition.dimensions !== vector.length) return;
    const known = partition.keys.indexOf(key);
    const place = known >= 0 ? known : this.#placeIn(partition);
    partition.vectors.set(unit, place * partition.dimensions);
    partition.keys[place] = key;
    this.#makeRoom();
  }

  nearest(name: string, vector: Float32Array): Nearest | null {
    const partition = this.#use(name);
    const unit = unitOf(vector);
    if (partition === undefined || unit === null || partition.dimensions !== vector.length) return null;
    const { dimensions, vectors, keys } = partition;
    let best: Nearest | null = null;
    for (const [place, key] of keys.entries()) {
      if (key === null) continue;
      let similarity = 0;
      for (let i = 0, at = place * dimensions; i < dimensions; i++, at++)
        similarity += (unit[i] as number) * (vectors[at] as number);
      if (best === null || similarity > best.similarity) best = { key, similarity };
    }
    return best;
  }

  remove(name: string, key: string): void {
    const partition = this.#partitions.get(name);
    const place = partition?.keys.indexOf(key) ?? -1;
    if (partition !== undefined && place >= 0) partition.keys[place] = null;
  }

  #use(name: string): Partition | undefined {
    const partition = this.#partitions.get(name);
    if (partition === undefined) return undefined;
    this.#partitions.delete(name);
    this.#partitions.set(name, partition);
    return partition;
  }

  #create(name: string, dimensions: number): Partition {
    const vectors = new Float32Array(FIRST_CAPACITY * dimensions);
    const partition: Partition = { dimensions, vectors, keys: [], next: 0 };
    this.#partitions.set(name, partition);
    this.#bytes += bytesOf(partition);
    return partition;
  }

  /** The next free place, the oldest's when there is none. */
  #placeIn(partition: Partition): number {
    const capacity = partition.vectors.length / partition.dimensions;
    if (partition.next === capacity && capacity < this.#limits.partitionMax) this.#grow(partition);
    const room = partition.vectors.length / partition.dimensions;
    if (partition.next === room) partition.next = 0;
    return partition.next++;
  }

  #grow(partition: Partition): void {
    const capacity = Math.min(
      (partition.vectors.length / partition.dimensions) * 2,
      this.#limits.partitionMax,
    );
    this.#bytes -= bytesOf(partition);
    const vectors = new Float32Array(capacity * partition.dimensions);
    vectors.set(partition.vectors);
    partition.vectors = vectors;
    this.#bytes += bytesOf(partition);
  }

  #makeRoom(): void {
    for (const [name, partition] of this.#partitions) {
      if (this.#bytes <= this.#limits.bytesMax) return;
      this.#partitions.delete(name);
      this.#bytes -= bytesOf(partition);
    }
  }
}

function bytesOf({ vectors, dimensions }: Partition): number {
  return PARTITION_BYTES + vectors.byteLength + (vectors.length / dimensions) * KEY_BYTES;
}

/** Null for a vector that points nowhere. */
function unitOf(vector: Float32Array): Float32Array | null {
  const length = Math.hypot(...vector);
  return length > 0 && Number.isFinite(length) ? vector.map((value) => value / length) : null;
}
