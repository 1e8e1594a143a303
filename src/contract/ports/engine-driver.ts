/**
 * Port: one kind of engine. A driver knows how to start it, how to tell whether it is ready, what it can do, and what its log
 * lines mean. In the contract: no driver keeps state between calls, each call ends by its signal, and no call throws for an
 * engine that is down (the result says so); a call that the engine has no way to carry out is absent, so that nobody waits for
 * it. Not in the contract: process control (see process-host.ts) and request traffic.
 */
import type { AdapterView, ChatTemplate, EngineCapabilities, EngineKind, EngineProtocol } from '../fleet.ts';
import type { LogRule } from '../log-rule.ts';
import type { LoraAdapter } from '../lora.ts';

/** How to start one replica. */
export interface LaunchPlan {
  /** Program; never a shell line. */
  command: string;
  args: string[];
  env: Record<string, string>;
  /** `assigned`: the engine was told `port`; `file`: it binds port 0 and writes the number to `portFile`. */
  portFrom: 'assigned' | 'file';
}

export interface LaunchContext {
  replicaId: string;
  host: string;
  /** A free port, for engines that must be told one. */
  port: number;
  /**
   * Path that an engine with `portFrom: 'file'` writes its port to (decimal, newline, atomically by rename). Null: nothing can
   * be written there, so the engine must be told its port.
   */
  portFile: string | null;
  /** From the configuration. */
  modelName: string;
  model: string;
  maxBatchSize: number;
  maxSeqLength: number | undefined;
  threads: number | undefined;
  /** As the user wrote it, such as `INT8`. */
  quantize?: string | undefined;
  tensorParallelSize?: number | undefined;
  /** Further arguments, after all others. */
  args?: readonly string[];
  /** LoRA adapters to load at the start. Default: none. */
  adapters?: readonly LoraAdapter[];
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

/** Of a probe, or of another call. */
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
  promptTokensTotal?: number;
  /** Requests that lost their place in the batch and began anew. */
  preemptionsTotal?: number;
  /** Prompt tokens looked up in the prefix cache, and found there. */
  prefixCacheQueriesTotal?: number;
  prefixCacheHitsTotal?: number;
  /** Sum and count of a histogram: their growth over a span gives its mean. */
  timeToFirstTokenSecondsSum?: number;
  timeToFirstTokenCount?: number;
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
  /**
   * A tiny generation at temperature 0, always the same one, and its text. Undefined: the engine cannot be asked for text.
   * `text` null: this model has none, or it did not come; `detail` says which.
   */
  canary?(target: EngineTarget, signal: AbortSignal): Promise<{ text: string | null; detail: string }>;
  readMetrics(target: EngineTarget, signal: AbortSignal): Promise<EngineMetrics | undefined>;
  /** What lines of the engine's log mean; empty where nothing is known. */
  readonly logRules: readonly LogRule[];
  /** Drops what the engine has computed for later requests. Running requests stay; some engines refuse while there are any. */
  clearCache?(target: EngineTarget, signal: AbortSignal): Promise<ProbeResult>;
  /** The engine takes nothing new and finishes what runs. Resolves when nothing runs; `resume` opens it again. */
  drain?(target: EngineTarget, signal: AbortSignal): Promise<ProbeResult>;
  resume?(target: EngineTarget, signal: AbortSignal): Promise<ProbeResult>;
  /** Ends one request, by the id that the engine gave to it, or all. */
  abort?(
    target: EngineTarget,
    what: { requestId: string } | 'all',
    signal: AbortSignal,
  ): Promise<ProbeResult>;
  /** LoRA adapters beside the model; undefined: the engine has none. */
  readonly adapters?: AdapterCalls;
  /** Loads or unloads the model of the target while the engine runs. Resolves when it is done, or with why it is not. */
  setModelLoaded?(target: EngineTarget, loaded: boolean, signal: AbortSignal): Promise<ProbeResult>;
}

/** An adapter that the engine has. */
export interface ListedAdapter extends AdapterView {
  /** Where it has it from; undefined where the engine does not say. */
  path?: string;
}

/** Calls of an engine that serves LoRA adapters. Like all of a driver they end by their signal and do not throw. */
export interface AdapterCalls {
  /** `wanted` helps where an engine knows adapters by their paths alone. */
  list(
    target: EngineTarget,
    wanted: readonly LoraAdapter[],
    signal: AbortSignal,
  ): Promise<{ ok: true; adapters: ListedAdapter[] } | { ok: false; detail: string }>;
  /** Undefined: adapters are taken at the start alone. Loading one that is there already is no failure. */
  load?(target: EngineTarget, adapter: LoraAdapter, signal: AbortSignal): Promise<ProbeResult>;
  unload?(target: EngineTarget, name: string, signal: AbortSignal): Promise<ProbeResult>;
}
