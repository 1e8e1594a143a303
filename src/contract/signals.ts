/**
 * Observations of an engine and of what is around it, as signal sources hand them to the supervisor and `decide/diagnosis` reads
 * them. What is missing is unknown, never fine. Bytes are bytes; ratios are 0..1; times are monotonic ms of the observer.
 */

export interface GpuFacts {
  /** As the driver numbers it, such as `0`, or its UUID. */
  id: string;
  name?: string;
  uuid?: string;
  /** `domain:bus:device.function` */
  pciBusId?: string;
  /** It can be queried and shows no error. */
  reachable: boolean;
  totalBytes?: number;
  usedBytes?: number;
  freeBytes?: number;
  /** Kept by the driver; neither used nor free. */
  reservedBytes?: number;
  /** Held by processes of the engine. */
  ownBytes?: number;
  /** Held by processes that are not ours. */
  foreignBytes?: number;
  /** Who holds memory on it, as far as the driver says. */
  processes?: readonly GpuProcess[];
  utilizationRatio?: number;
  memoryUtilizationRatio?: number;
  temperatureC?: number;
  powerW?: number;
  powerLimitW?: number;
  smClockMhz?: number;
  smClockMaxMhz?: number;
  throttled?: boolean;
  /** Reasons in the words of the driver, such as `hw_thermal_slowdown`. */
  throttleReasons?: readonly string[];
  /** Since the driver was loaded. */
  uncorrectedEccErrors?: number;
  correctedEccErrors?: number;
  /** Rows waiting to be remapped at the next reset. */
  remapPending?: boolean;
  nvlinkErrors?: number;
  /** Newest Xid of the GPU since the engine was started. */
  xid?: number;
}

export interface GpuProcess {
  pid: number;
  name: string;
  bytes: number;
}

export interface ProcessFacts {
  wrapperAlive: boolean;
  /** Names of processes that should be there and are not. */
  missing: readonly string[];
  /** Left behind by a former start. */
  orphans: readonly { pid: number; name: string; gpuBytes?: number }[];
  /** Of the process that speaks HTTP, 0..1 of one core. */
  frontendCpuRatio?: number;
  /** Of the whole tree, in cores: 1.5 is one and a half. */
  treeCpuRatio?: number;
  /** Pids of the tree that are stopped by a signal (state T); they make no step until somebody continues them. */
  stopped?: readonly number[];
  /** Programs below the engine that it has no business to start, shells among them. */
  unexpected?: readonly { pid: number; name: string; command: string }[];
  /** Whole tree, resident. */
  rssBytes?: number;
  processCount?: number;
  /** Of the main process. */
  openFiles?: number;
}

export interface ContainerFacts {
  id: string;
  /** As the container engine says it: `running`, `exited`, `restarting`. */
  state: string;
  oomKilled: boolean;
  exitCode: number | null;
  restarts: number;
}

/** What one look of one source found; sources fill in what they can see. */
export interface SignalReading {
  processes?: ProcessFacts;
  gpus?: readonly GpuFacts[];
  container?: ContainerFacts;
  /** Growth of the `oom_kill` counter of the engine's cgroup since its start; null: it cannot be read. */
  oomKills?: number | null;
  /** Of the cgroup; absent: no limit. */
  memoryLimitBytes?: number;
  /** Of the cgroup, without pages of files that the kernel would give back first. */
  memoryUsedBytes?: number;
  /** Lines of the kernel log since the look before, oldest first. */
  kernelLines?: readonly string[];
  shmFreeBytes?: number;
  hostFreeBytes?: number;
  /** What this source cannot see here, and why, in one sentence each; told once. */
  unavailable?: readonly string[];
}
