/** What stands between load client and mock engines: nothing, or a measured process. */
import type { ChildProcess } from 'node:child_process';

export type TargetName = 'direct' | 'nginx' | 'gateway' | 'portkey';

export interface Target {
  name: TargetName;
  origin: string;
  /** That the load client sends, such as the key. */
  headers: Record<string, string>;
  /** The measured process; null for direct. */
  child: ChildProcess | null;
}

export interface TargetSetup {
  /** A folder of its own, for configuration and logs. */
  folder: string;
  /** Where the mock engines listen. */
  enginePorts: readonly number[];
}

/** How a target is started; again and again, where a scenario wants a fresh process. */
export interface TargetKind {
  name: TargetName;
  start(setup: TargetSetup): Promise<Target>;
}
