/**
 * Port: processes of one machine. In the contract: a process is named by pid and start time, so a reused pid is never
 * mistaken for ours; signals go to the whole process group; started processes outlive their starter. A zombie counts as dead.
 * When a started or watched process has ended, the rest of its group is killed.
 */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot; 0 where the platform has none. */
  startTicks: number;
}

export interface SpawnSpec {
  command: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  /** Standard output and error are appended here; where that can not be written they are lost. */
  logFile: string;
  /** Put into the environment as AUTOGLM_OWNER, so that `findOwned` finds the process even when its record was never written. */
  owner: string;
}

/** How a process ended; `unknown` when we were not its parent. */
export type ProcessExit =
  | { kind: 'exited'; code: number }
  | { kind: 'signalled'; signal: string }
  | { kind: 'unknown' };

export interface ProcessHost {
  /** Rejects with PlatformError `engine_binary_missing` when the program cannot be started. */
  spawn(spec: SpawnSpec): Promise<ProcessIdentity>;
  isAlive(identity: ProcessIdentity): boolean;
  /** Signals the process group; false when it is gone already. */
  signalGroup(identity: ProcessIdentity, signal: NodeJS.Signals): boolean;
  /** Calls back once, soon after the process has ended; works for adopted processes too. Dispose to stop watching. */
  onExit(identity: ProcessIdentity, callback: (exit: ProcessExit) => void): Disposable;
  /** Living processes that were started with an AUTOGLM_OWNER that starts with `ownerPrefix`; not their children. */
  findOwned(ownerPrefix: string): { identity: ProcessIdentity; owner: string }[];
  /** Kills every process with such an owner, children in groups of their own included; says how many there were. */
  killOwned(ownerPrefix: string): number;
}
