/**
 * The snapshot of the fleet that the supervisor hands down to gateways: immutable, versioned, free of either plane's types.
 */
import type { LimitSettings } from './limits.ts';
import type { StrategyName } from './scheduling.ts';

export const ENGINE_KINDS = [
  'embedded',
  'vllm',
  'sglang',
  'tgi',
  'llama-server',
  'ollama',
  'triton',
  'openai',
  'simulator',
] as const;
export type EngineKind = (typeof ENGINE_KINDS)[number];

/**
 * The words in which a replica is spoken to. KServe is the Open Inference Protocol (v2): tensors, over HTTP with JSON or over
 * gRPC. The request loop always writes OpenAI's; `drivers/kserve` translates.
 */
export const ENGINE_PROTOCOLS = ['openai', 'kserve-http', 'kserve-grpc'] as const;
export type EngineProtocol = (typeof ENGINE_PROTOCOLS)[number];

/** How messages become the text that a KServe model takes: a Jinja template, as models publish it. */
export interface ChatTemplate {
  source: string;
  /** What the template reads as `eos_token`; the text that ends a turn. */
  eosToken: string;
}

/** Named states of a replica, one sentence each; `decide/recovery` is the one place that changes them. */
export const REPLICA_STATES = [
  /** Not started, or stopped on request. */
  'stopped',
  /** The process is being started and climbs the readiness ladder: port, health, model, one token. */
  'starting',
  /** Takes traffic. */
  'ready',
  /** Was ready, but its probes fail; takes no traffic until they pass again. */
  'unready',
  /** Takes no new traffic and finishes what runs. */
  'draining',
  /** Was told to stop and has not ended yet. */
  'stopping',
  /** Ended unasked; waits out its backoff before the next start. */
  'backing-off',
  /** Loaded and healthy, and takes no traffic until another one of its pool fails. */
  'standby',
  /** Restarted too often; stays down until a person says otherwise. */
  'quarantined',
] as const;
export type ReplicaState = (typeof REPLICA_STATES)[number];

/** End points that some engines have beside chat completions, completions and embeddings. */
export const EXTRA_ENDPOINTS = ['rerank', 'score', 'tokenize', 'detokenize', 'classify', 'pooling'] as const;
export type ExtraEndpoint = (typeof EXTRA_ENDPOINTS)[number];

/** What an engine can do for the continuation of a stream (tiers A to D, docs/continuation.md). */
export interface EngineCapabilities {
  /** Raw completions take token-id prompts, and `return_token_ids` returns ids (tier A). */
  tokenReplay: boolean;
  /** Chat takes `continue_final_message: true, add_generation_prompt: false` (tier B). */
  chatContinuation: boolean;
  /** `POST /tokenize` takes `messages` as well as `prompt`, as vLLM does. */
  tokenize: boolean;
  /**
   * How delivered tokens are counted where `tokenize` is false. `events`: the engine sends one event for each token, also where it
   * has no text yet. `tokenize-content`: `POST /tokenize` takes text as `content`, as llama-server does. Default: events with text.
   */
  countTokens?: 'events' | 'tokenize-content';
  /** When the same request gives the same text: never, at temperature 0, or with a fixed seed too (tier C). */
  determinism: 'none' | 'greedy' | 'seeded';
  /** Every stream event carries whole tokens, also while text is held back for a stop string. */
  wholeTokenEvents: boolean;
  /**
   * `/v1/completions` puts its prompt through the chat template, so text appended to the prompt is not gone on with (no tier B
   * there). Default false.
   */
  templatesCompletions?: boolean;
  /**
   * White space at the seams of a prefilled answer is lost, or undoes the continuation: text that begins or ends with it does not
   * go on in chat (no tier B). Default false.
   */
  trimsPrefill?: boolean;
  /** The engine may repeat a prefilled answer at the start of its own; a leading copy is then stripped. Default false. */
  mayEchoPrefill?: boolean;
  /** Fields that the engine does not know are ignored and not refused. Default false. */
  lenientFields?: boolean;
  /** What it has of these, in the shape of vLLM. Undefined: not known, so it is asked. */
  endpoints?: readonly ExtraEndpoint[];
  /** Where it has them, if elsewhere than vLLM. Default: nowhere else. */
  paths?: Readonly<Partial<Record<ExtraEndpoint, string>>>;
}

export interface ReplicaView {
  /** Stable over restarts: `<pool>/<ordinal>`. */
  id: string;
  /** Counts starts of the process; a fact about an older generation is stale. */
  generation: number;
  /** Origin, such as `http://127.0.0.1:40123`; empty as long as there is none. */
  url: string;
  engine: EngineKind;
  /** The name by which the engine itself knows the model. */
  servedModel: string;
  state: ReplicaState;
  /** Why it is in this state, in a short sentence; may be a second old. */
  reason: string;
  /**
   * Of an unready one: it served before, its port is open, and its probes are only not answered in time. Where too few others
   * serve, gateways go on sending it requests. Default: no.
   */
  late?: true;
  /** Requests that may be in flight at once (`max_batch_size`). */
  window: number;
  capabilities: EngineCapabilities;
  /** Share of traffic against its peers. Default: 1. */
  weight?: number;
  /** Where an exporter publishes load and memory of its GPUs. Default: nothing is known of them. */
  gpuMetricsUrl?: string;
  /** Bearer key that the engine wants; never logged. */
  engineKey?: string;
  /** Adapters of the pool that are loaded in this generation; it takes no request for another one. Default: none. */
  adapters?: AdapterView[];
  /** Runs as the configuration said before, and will be restarted: what it answers is not kept for others. Default: no. */
  outdated?: true;
  /** Why adapters of the pool could not be loaded in this generation, by name; they are tried again. Default: none. */
  adapterProblems?: Readonly<Record<string, string>>;
  /** Top-level fields that a request needs here where the client did not give them. Default: none. */
  fields?: Readonly<Record<string, unknown>>;
  /** Default: openai. */
  protocol?: EngineProtocol;
  /** KServe only; without one, chat is refused. */
  chatTemplate?: ChatTemplate;
}

/** A LoRA adapter in one replica. */
export interface AdapterView {
  name: string;
  /** What `model` must be for the engine to use it. */
  servedModel: string;
  /** Further top-level fields that the engine needs in each request for it. */
  fields?: Readonly<Record<string, unknown>>;
}

export const CACHE_ENDPOINTS = ['chat', 'completions', 'embeddings', ...EXTRA_ENDPOINTS] as const;
export type CacheEndpoint = (typeof CACHE_ENDPOINTS)[number];

/** How a model uses the response cache, as its configuration says. */
export interface CachePolicy {
  /** `by-header`: only for requests that say so. */
  mode: 'by-header' | 'always';
  ttlMs: number;
  /** Answers that chance decides are kept too. */
  sampled: boolean;
  endpoints: readonly CacheEndpoint[];
  /** Answers to questions that mean the same are given, too. Default: only to equal ones. */
  semantic?: SemanticCache;
}

export interface SemanticCache {
  /** The model whose embeddings say how near two questions are. */
  embeddingModel: string;
  /** Cosine from which on they mean the same. */
  threshold: number;
}

export interface ModelCache extends CachePolicy {
  /** What the user says of the weights; undefined: nothing. */
  revision: string | undefined;
}

export interface PoolCache extends CachePolicy {
  /** Names weights and settings that answers depend on; the same over restarts. */
  revision: string;
  /** The same for each adapter, by name. Default: none. */
  adapterRevisions?: Readonly<Record<string, string>>;
}

/** End points whose requests an engine answers input by input, so that several can be sent as one. */
export const BATCHING_ENDPOINTS = ['embeddings', 'rerank', 'score', 'classify'] as const;
export type BatchingEndpoint = (typeof BATCHING_ENDPOINTS)[number];

/** How small requests of a model are sent together. */
export interface PoolBatching {
  /** Inputs in one call (`max_batch_size`). */
  unitsMax: number;
  /** Longest wait for company. */
  waitMaxMs: number;
  endpoints: readonly BatchingEndpoint[];
}

export interface PoolView {
  /** The name that clients use. */
  model: string;
  aliases: string[];
  /** Pools to ask instead, in this order, when this one can not serve. Default: none. */
  fallbacks?: string[];
  /** Tokens; undefined where the engine has not said. */
  contextLength?: number;
  replicas: ReplicaView[];
  /** How requests are shared out over its replicas. Default: least-connections. */
  strategy?: StrategyName;
  /** Of all callers together. Default: none. */
  limits?: LimitSettings;
  /** Names of its LoRA adapters: models of their own for clients. Default: none. */
  adapters?: string[];
  /** Default: answers are not kept for others. */
  cache?: PoolCache;
  /** Default: each request is a call of its own. */
  batching?: PoolBatching;
  /** Nobody may name it any more; it is here until what runs on its replicas has ended. */
  leaving?: true;
}

export interface FleetSnapshot {
  pools: PoolView[];
}
