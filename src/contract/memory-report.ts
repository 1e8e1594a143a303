/** What `autoglm memory` answers: who holds which memory, where it goes, and what to do about it. Bytes are bytes. */

export interface MemoryHolder {
  pid: number;
  name: string;
  bytes: number;
  /** `other`: one of ours that is no engine of this report, such as one that is just being started. */
  whose: 'engine' | 'orphan' | 'other' | 'foreign';
  /** Of an engine or an orphan. */
  replica?: string;
}

export interface GpuMemory {
  id: string;
  name: string | null;
  reachable: boolean;
  totalBytes: number | null;
  usedBytes: number | null;
  freeBytes: number | null;
  /** Kept by the driver. */
  reservedBytes: number | null;
  foreignBytes: number;
  /** In use, and by no process that can be seen from here. */
  unaccountedBytes: number | null;
  /** The largest first. */
  holders: readonly MemoryHolder[];
}

export interface EngineMemory {
  replica: string;
  engine: string;
  pid: number | null;
  /** Of the whole tree of processes; null: not known. */
  hostBytes: number | null;
  gpuBytes: number | null;
  /** Per hour; null: it was not watched long enough, or does not move. */
  hostGrowthBytesPerHour: number | null;
  gpuGrowthBytesPerHour: number | null;
  limitBytes: number | null;
  hoursToLimit: number | null;
  /** It grows steadily. */
  leakSuspected: boolean;
  /** Kept by the allocator of the engine and not used by it, as its log says; null: it does not say. */
  unusedReserveBytes: number | null;
}

export interface MemoryReport {
  gpus: readonly GpuMemory[];
  engines: readonly EngineMemory[];
  host: { freeBytes: number | null; shmFreeBytes: number | null };
  advice: readonly string[];
  /** What could not be seen, and why. */
  unavailable: readonly string[];
}
