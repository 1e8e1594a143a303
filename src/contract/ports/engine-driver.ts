/**
 * Port: one kind of engine. A driver knows how to start it, how to tell whether it is ready, and what it can do.
 * In the contract: no driver keeps state between calls, each call ends by its signal, and no call throws for an engine that
 * is down (the result says so). Not in the contract: process control (see process-host.ts) and request traffic.
 */
import type { ChatTemplate, EngineCapabilities, EngineKind, EngineProtocol } from '../fleet.ts';

/** How to start one replica. */
export interface LaunchPlan {
  /** Program; never a shell line. */
  command: string;
  args: string[];
  env: Record<string, string>;
  /** `assigned`: the supervisor chose `port` and passed it; `file`: the engine binds port 0 and writes the number to `portFile`. */
  portFrom: 'assigned' | 'file';
}

export interface LaunchContext {
  replicaId: string;
  host: string;
  /** A free port, for engines that must be told one. */
  port: number;
  /** Path that an engine with `portFrom: 'file'` writes its port to (decimal, newline, atomically by rename). */
  portFile: string;
  /** From the configuration. */
  modelName: string;
  model: string;
  maxBatchSize: number;
  maxSeqLength: number | undefined;
  threads: number | undefined;
  command: string[] | undefined;
  env: Record<string, string>;
  /** Default: openai. */
  protocol?: EngineProtocol;
}

export interface EngineTarget {
  url: string;
  servedModel: string;
  engineKey?: string;
  /** Default: openai. */
  protocol?: EngineProtocol;
  chatTemplate?: ChatTemplate;
  /** Where the engine publishes its metrics; default: as the driver knows. `{host}` is the host of `url`. */
  metricsUrl?: string;
}

/** Rungs of the readiness ladder, from the bottom. */
export const READINESS_RUNGS = ['port', 'health', 'model', 'generation'] as const;
export type ReadinessRung = (typeof READINESS_RUNGS)[number];

export interface ProbeResult {
  ok: boolean;
  /** What was found: "connection refused", "HTTP 503 Loading model", "model 'a' not listed; found: b". */
  detail: string;
}

/** Engine metrics in our words; undefined where the engine does not say. */
export interface EngineMetrics {
  running?: number;
  waiting?: number;
  /** 0..1 */
  kvCacheUsageRatio?: number;
  /** Grows with every step of the engine; stands still when it hangs. */
  progressCount?: number;
  generationTokensTotal?: number;
}

export interface EngineDriver {
  readonly kind: EngineKind;
  readonly capabilities: EngineCapabilities;
  /** Where they depend on the protocol; default: `capabilities`. */
  capabilitiesOver?(protocol: EngineProtocol): EngineCapabilities;
  /** Requests in flight at once when the configuration does not say. */
  readonly defaultWindow: number;
  /** Undefined for engines that we cannot start (`url:` only). Throws PlatformError `engine_binary_missing` or `model_file_invalid`. */
  launch?(context: LaunchContext, signal: AbortSignal): Promise<LaunchPlan>;
  probe(target: EngineTarget, rung: ReadinessRung, signal: AbortSignal): Promise<ProbeResult>;
  readMetrics(target: EngineTarget, signal: AbortSignal): Promise<EngineMetrics | undefined>;
  /** Loads or unloads the model of the target while the engine runs. Resolves when it is done, or with why it is not. */
  setModelLoaded?(target: EngineTarget, loaded: boolean, signal: AbortSignal): Promise<ProbeResult>;
}
