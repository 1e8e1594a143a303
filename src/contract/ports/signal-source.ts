/**
 * Port: something that looks at an engine from outside, such as /proc, a cgroup, the kernel log, a GPU, a container engine; also
 * the interface of plug-ins. In the contract: a look ends by its signal, changes nothing, does not throw for a part of the world
 * that is missing (the reading says so in `unavailable`), and may be made of several subjects at once. Not in the contract: how
 * fresh the reading is, within one interval of monitoring.
 */
import type { MonitoredMetric } from '../recovery-policy.ts';
import type { SignalReading } from '../signals.ts';
import type { ProcessIdentity } from './process-host.ts';

/** Whom to look at. */
export interface SignalSubject {
  replica: string;
  /** Counts starts; readings of growth begin anew with each. */
  generation: number;
  engine: string;
  /** Null: runs elsewhere, or no process is known. */
  process: ProcessIdentity | null;
  /** First part of the owner tags of this replica, all generations. */
  ownerPrefix: string;
  url: string | null;
  /** Address of an exporter of GPU metrics. */
  gpuMetricsUrl?: string;
  /** Monotonic ms at which the process was started or adopted. */
  startedAtMs: number;
}

export interface SignalSource {
  /** Kebab-case; unique among sources. */
  readonly name: string;
  /** It is asked only when the policy wants one of these. */
  readonly metrics: readonly MonitoredMetric[];
  look(subject: SignalSubject, signal: AbortSignal): Promise<SignalReading>;
  /**
   * At once and without waiting, for the moment at which the process has ended: what counters still say (a cgroup's `oom_kill`),
   * within a few ms. Default: nothing.
   */
  lookLast?(subject: SignalSubject): SignalReading;
  close(): void;
}

/** What a plug-in is given by the program that loads it. */
export interface SignalPluginOptions {
  /** Milliseconds from an arbitrary start, as `startedAtMs` of a subject counts them. */
  nowMs(): number;
  log(message: string): void;
}

/**
 * What the module of a plug-in exports, by this name or as its default: makes a source, and starts nothing yet.
 */
export type CreateSignalSource = (options: SignalPluginOptions) => SignalSource;
