/**
 * What a scheduling decision sees of the replicas of one pool: one typed array per property, one place per replica. The
 * gateway fills it (names and weights when a snapshot comes, counts before each decision) and keeps it, so that a decision
 * allocates nothing. Unknown numbers are NaN.
 */

/** Slots that a replica may have in the shared state of a gateway; a slot fits into 9 bits (affinity/prefix-index.ts). */
export const REPLICA_SLOTS_MAX = 512;

/** What stands in the fleet snapshot and stays until the next one. */
export interface ReplicaFacts {
  /** `<pool>/<ordinal>`. */
  id: string;
  /** Place in the shared state, 0 to REPLICA_SLOTS_MAX - 1. */
  slot: number;
  /** Changes with every start of the process: what an earlier life remembered is gone. */
  life: number;
  /** Requests it takes at once. */
  window: number;
  /** Share of traffic against its peers, as configured; 1 is usual, must be above 0. */
  weight: number;
}

export class ReplicaColumns {
  readonly capacity: number;
  count = 0;
  readonly ids: string[] = [];
  readonly idHash: Int32Array;
  readonly slot: Int32Array;
  readonly life: Int32Array;
  readonly weight: Float64Array;
  readonly window: Int32Array;
  /** 1: ready, and not ejected. */
  readonly serving: Uint8Array;
  /** 1: waits for the one request that shows whether it is well again; it gets the next, because no score would send it one. */
  readonly probe: Uint8Array;
  /** 1: can serve this request (context length, modality, adapter). */
  readonly capable: Uint8Array;
  /** 1: failed this request before. */
  readonly avoided: Uint8Array;
  /** Requests in flight, all workers together. */
  readonly inFlight: Int32Array;
  /** Tokens of work in flight: prompts to be prefilled and answers to be written. */
  readonly work: Float64Array;
  /** 0 to 1: how much of its weight counts, from slow start, from its health and from its speed against its peers. */
  readonly share: Float64Array;
  /** 0 to 1: how much of its window counts, from slow start and from its health; work that must go on may have all of it. */
  readonly windowShare: Float64Array;
  /** 0 to 1. */
  readonly gpuLoad: Float64Array;
  /** 0 to 1. */
  readonly memoryUsage: Float64Array;
  /** 0 to 1. */
  readonly kvCacheUsageRatio: Float64Array;
  /** Requests that wait inside the engine. */
  readonly queueDepth: Float64Array;
  /** Place of the replica with that slot, -1: not in this pool. */
  readonly indexOfSlot: Int16Array;

  constructor(capacity: number) {
    if (capacity < 1 || capacity > REPLICA_SLOTS_MAX) {
      throw new RangeError(`a pool of ${capacity} replicas; 1 to ${REPLICA_SLOTS_MAX} are possible`);
    }
    this.capacity = capacity;
    const numbers = () => new Float64Array(capacity);
    const integers = () => new Int32Array(capacity);
    const flags = () => new Uint8Array(capacity);
    this.idHash = integers();
    this.slot = integers();
    this.life = integers();
    this.window = integers();
    this.inFlight = integers();
    this.serving = flags();
    this.probe = flags();
    this.capable = flags();
    this.avoided = flags();
    this.weight = numbers();
    this.work = numbers();
    this.share = numbers();
    this.windowShare = numbers();
    this.gpuLoad = numbers();
    this.memoryUsage = numbers();
    this.kvCacheUsageRatio = numbers();
    this.queueDepth = numbers();
    this.indexOfSlot = new Int16Array(REPLICA_SLOTS_MAX).fill(-1);
  }

  /** Takes over the replicas of a snapshot, all idle, serving and without metrics until the gateway fills them in. */
  assign(replicas: readonly ReplicaFacts[]): void {
    if (replicas.length > this.capacity) {
      throw new RangeError(`${replicas.length} replicas in a table for ${this.capacity}`);
    }
    this.count = replicas.length;
    this.ids.length = 0;
    this.indexOfSlot.fill(-1);
    replicas.forEach((replica, index) => {
      this.ids.push(replica.id);
      this.idHash[index] = hashText(replica.id);
      this.slot[index] = replica.slot;
      this.life[index] = replica.life;
      this.window[index] = replica.window;
      this.weight[index] = replica.weight;
      this.indexOfSlot[replica.slot] = index;
    });
    for (const flag of [this.serving, this.capable]) flag.fill(1);
    for (const cleared of [this.probe, this.avoided, this.inFlight, this.work]) cleared.fill(0);
    this.share.fill(1);
    this.windowShare.fill(1);
    for (const metric of [this.gpuLoad, this.memoryUsage, this.kvCacheUsageRatio, this.queueDepth]) {
      metric.fill(Number.NaN);
    }
  }

  /** Requests that the replica takes at once right now: its window, narrowed by its share, and one at least. */
  effectiveWindow(index: number): number {
    return Math.max(1, Math.floor(this.window[index]! * this.windowShare[index]!));
  }
}

/** 32-bit FNV-1a over UTF-16 units, well mixed at the end; for spreading, never for secrets. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mixTwo(hash, text.length);
}

/** Mixes two integers into a signed 32-bit one, without allocating. */
export function mixTwo(a: number, b: number): number {
  let hash = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ b;
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 13), 0x27d4eb2f);
  return hash ^ (hash >>> 16);
}
