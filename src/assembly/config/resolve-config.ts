/**
 * From the validated form to the form that runs: absolute paths, numbers that depend on this machine, hashes instead of
 * keys, units and names as the planes use them. Frozen. Does no I/O but to ask where the state directory really lies, and to
 * read chat templates.
 */
import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Secret } from '../../base/secret.ts';
import type { Config } from '../../contract/config-schema.ts';
import type { EvidenceSettings } from '../../contract/evidence.ts';
import type {
  ChatTemplate,
  EngineKind,
  EngineProtocol,
  ModelCache,
  PoolBatching,
} from '../../contract/fleet.ts';
import type { GatewaySettings, RedisSettings } from '../../contract/gateway-snapshot.ts';
import type { LimitSettings } from '../../contract/limits.ts';
import type { LoraAdapter } from '../../contract/lora.ts';
import type { ModelConfig } from '../../contract/model-schema.ts';
import type { RecoveryPolicy } from '../../contract/recovery-policy.ts';
import type { RecoveryFile } from '../../contract/recovery-policy-schema.ts';
import type { SaferStep } from '../../contract/safer-launch.ts';
import type { StrategyName } from '../../contract/scheduling.ts';
import { readChatTemplate } from './chat-template-file.ts';
import { usesRedis } from './config-rules.ts';
import { type Environment, inheritedVariables } from './environment.ts';
import {
  type EnvironmentSettings,
  environmentRedisUrl,
  readEnvironmentSettings,
} from './environment-settings.ts';
import { keyLimits, limitSettings } from './limit-rules.ts';
import type { LoadedConfig } from './load-config.ts';
import { locatePath } from './locate-path.ts';
import { PACKAGE_ROOT } from './release.ts';
import { resolveRecovery } from './resolve-recovery.ts';
import { saferSteps } from './safer-steps.ts';
import { type StatePaths, statePaths } from './state-paths.ts';

export interface ResolvedModel {
  /** The name that clients send; also the name of the pool. */
  modelName: string;
  aliases: string[];
  engine: EngineKind;
  /** The name by which the engine knows the model. */
  servedModel: string;
  /** Origins of engines that run already; undefined for engines that we start. */
  urls: string[] | undefined;
  engineKey: Secret | undefined;
  /** What sets each of `urls` apart from the model, in the same order; empty for engines that we start. */
  perUrl: {
    servedModel: string;
    engineKey: Secret | undefined;
    maxBatchSize: number | undefined;
    weight: number | undefined;
  }[];
  strategy: StrategyName;
  /** Of all callers together; undefined: none. */
  limits: LimitSettings | undefined;
  /** Address of an exporter of GPU metrics, with {host} and {port}. */
  gpuMetricsUrl: string | undefined;
  /** Models to ask instead, in this order. */
  fallbacks: string[];
  /** Engines to start, or the number of `urls`. */
  replicas: number;
  /** Loaded replicas without traffic, beside `replicas`; 0 for engines that run already. */
  standby: number;
  /** Texts for CUDA_VISIBLE_DEVICES, one for each replica that may move; `adjustment.device` counts them from 1. */
  spareDevices: string[];
  /** Of `restart_safer`; its number is how many there are. */
  saferSteps: SaferStep[];
  /** Absolute path, `hf:` address, or the name that the engine understands. */
  model: string;
  command: string[] | undefined;
  /** Variables that the file names; `inheritedVariables` come beside them. */
  env: Record<string, string>;
  /** Undefined: the engine's own default. */
  maxBatchSize: number | undefined;
  maxSeqLength: number | undefined;
  threads: number | undefined;
  quantize: string | undefined;
  tensorParallelSize: number | undefined;
  args: string[];
  loraAdapters: LoraAdapter[];
  startTimeoutMs: number;
  /** Undefined: openai. */
  protocol: EngineProtocol | undefined;
  chatTemplate: ChatTemplate | undefined;
  metricsUrl: string | undefined;
  /** Undefined: its answers are not kept for others. */
  cache: ModelCache | undefined;
  /** Undefined: each request is a call of its own. */
  batching: PoolBatching | undefined;
}

export interface SupervisorSettings {
  restartsMax: number;
  restartWindowMs: number;
  backoffInitialMs: number;
  backoffMaxMs: number;
  probeIntervalMs: number;
  probeTimeoutMs: number;
  probeFailuresMax: number;
  drainTimeoutMs: number;
}

export interface SignalSettings {
  /** Absolute path; undefined: what the machine has. */
  kernelLog: string | undefined;
  nvidiaSmi: string;
  /** Absolute path; undefined: none. */
  dockerSocket: string | undefined;
  /** Absolute paths of modules. */
  plugins: string[];
}

export interface AdminSettings {
  host: string;
  port: number;
  /** SHA-256 (hex) of each key, with its name; empty: no key is needed. */
  keys: { name: string; sha256: string }[];
}

export interface ResolvedConfig {
  /** Null with zero config. */
  configPath: string | null;
  /** Lines of a LiteLLM file that have no effect. */
  notHonoured: string[];
  paths: StatePaths;
  gateway: GatewaySettings;
  admin: AdminSettings;
  supervisor: SupervisorSettings;
  recovery: RecoveryPolicy;
  signals: SignalSettings;
  evidence: EvidenceSettings;
  models: ResolvedModel[];
  /** What the processes that we start inherit from our environment. */
  inherited: Record<string, string>;
}

const HOUR_MS = 3_600_000;
/** What a line of a batch has beyond the limit of the gateway, whose own answer says more. */
const LINE_GRACE_MS = 60_000;
const GB_BYTES = 1e9;

/** The demo model that ships with the package. */
export const DEMO_MODEL_FILE = join(PACKAGE_ROOT, 'models', 'inference-ops-demo.Q8_0.gguf');

export function resolveConfig(loaded: LoadedConfig): ResolvedConfig {
  const { file, config, environment, notHonoured } = loaded;
  const settings = readEnvironmentSettings(environment);
  const fromHere = pathsFrom(file === null ? environment.workDir : dirname(file), environment);
  const stateDir = config.state_dir === undefined ? settings.defaultStateDir : fromHere(config.state_dir);
  return deepFreeze({
    configPath: file,
    notHonoured,
    paths: statePaths(canonicalPath(stateDir)),
    gateway: gatewaySettings(config, settings, redisSettings(config, environment)),
    admin: {
      host: config.admin.host,
      port: config.admin.port,
      keys: config.admin.keys.map(({ name, key }) => ({ name, sha256: sha256(key) })),
    },
    supervisor: supervisorSettings(config),
    recovery: resolveRecovery(writtenRecovery(loaded)).policy,
    signals: signalSettings(config, fromHere),
    evidence: {
      bytesMax: config.evidence.bytes_max,
      bundlesMax: config.evidence.bundles_max,
      deadlineMs: config.evidence.deadline_ms,
      prompts: config.evidence.prompts,
    },
    models: config.models.map((model) => resolveModel(model, config.cache, fromHere)),
    inherited: inheritedVariables(environment),
  });
}

/** What the user wrote about recovery, wherever it stands. */
export function writtenRecovery({ config, recovery }: LoadedConfig): RecoveryFile | undefined {
  if (recovery !== undefined) return recovery.written;
  return typeof config.auto_recovery === 'string' ? undefined : config.auto_recovery;
}

/** Makes paths absolute: `~` is the home directory, others start at `baseDir`. */
function pathsFrom(baseDir: string, { homeDir }: Environment): (path: string) => string {
  return (path) => locatePath(path, { baseDir, homeDir });
}

/** Where models come from: what paths and settings that they do not name themselves are taken from. */
export type ModelPlace = Pick<LoadedConfig, 'file' | 'environment'> & {
  /** Default: the configuration of nobody, with all defaults. */
  config?: Pick<Config, 'cache'>;
};

/** Models that do not come from the file alone, in the form that runs; relative paths start where those of the file do. */
export function resolveModels(
  { file, environment, config }: ModelPlace,
  models: readonly ModelConfig[],
): ResolvedModel[] {
  const fromHere = pathsFrom(file === null ? environment.workDir : dirname(file), environment);
  return deepFreeze(models.map((model) => resolveModel(model, config?.cache, fromHere)));
}

function gatewaySettings(
  { gateway, timeouts, files, batches, cache, limits, quarantine, models }: Config,
  { keys: environmentKeys, gatewayPort }: EnvironmentSettings,
  redis: RedisSettings | null,
): GatewaySettings {
  const totalTimeoutMs = timeouts.inference_timeout_ms;
  const firstTokenTimeoutMs = Math.min(timeouts.first_token_ms, totalTimeoutMs);
  return {
    host: gateway.host,
    port: gatewayPort ?? gateway.port,
    // One thread more than one core needs: a thread that dies must not take all connections with it.
    workers: gateway.workers ?? Math.max(2, availableParallelism()),
    keys: [
      ...gateway.keys.map(({ name, key, weight, priority, explain, limits }) => ({
        name,
        sha256: sha256(key),
        weight,
        priority,
        explain,
        ...keyLimits(limits),
      })),
      ...environmentKeys.map((key, index) => ({ name: `AUTOGLM_API_KEYS[${index}]`, sha256: sha256(key) })),
    ],
    bodyBytesMax: gateway.body_bytes_max,
    queueSizeMax: gateway.queue_size,
    queueAdaptive: gateway.queue_adaptive,
    queueTimeoutMs: Math.min(gateway.queue_timeout_ms, totalTimeoutMs),
    retryAttemptsMax: gateway.retry_attempts,
    retryBudgetRatio: gateway.retry_budget,
    continuationsMax: gateway.continuations,
    keepAliveMs: gateway.keep_alive_ms,
    connectTimeoutMs: Math.min(timeouts.connect_ms, firstTokenTimeoutMs),
    firstTokenTimeoutMs,
    stallTimeoutMs: Math.min(timeouts.stall_ms, totalTimeoutMs),
    totalTimeoutMs,
    writeStallTimeoutMs: timeouts.write_stall_ms,
    breakerFailures: gateway.breaker_failures,
    slowStartMs: gateway.slow_start_ms,
    stragglerWeights: gateway.straggler_weights,
    ejectionMs: gateway.ejection_ms,
    quarantine: {
      enabled: quarantine.enabled,
      // The node process knows it.
      fingerprintKey: '',
      suspectTtlMs: Math.round(quarantine.suspect_ttl_s * 1000),
      holdTtlMs: Math.round(quarantine.hold_ttl_s * 1000),
      convictTtlMs: Math.round(quarantine.convict_ttl_s * 1000),
    },
    replayBytesMax: gateway.replay_bytes_max,
    responsesTtlMs: Math.round(gateway.responses_ttl_h * HOUR_MS),
    idempotencyTtlMs: Math.round(gateway.idempotency_ttl_h * HOUR_MS),
    redis,
    limitStore: limits.store,
    cache: usesCache(cache, models)
      ? { bytesMax: Math.round(cache.cache_capacity_gb * GB_BYTES), store: cache.store }
      : null,
    storeLimits: {
      responsesBytesMax: gateway.responses_bytes_max,
      idempotencyBytesMax: gateway.idempotency_bytes_max,
    },
    files: {
      fileBytesMax: files.file_bytes_max,
      totalBytesMax: files.total_bytes_max,
      batchTtlMs: files.batch_ttl_h * 3_600_000,
    },
    batches: {
      windowMs: batches.window_ms,
      linesMax: batches.lines_max,
      openMax: batches.open_max,
      inFlightMax: batches.in_flight,
      lineTimeoutMs: batches.line_timeout_ms ?? totalTimeoutMs + LINE_GRACE_MS,
      fillerShare: batches.filler_share,
    },
    fillerKeySha256: null,
    drainTimeoutMs: timeouts.drain_ms,
  };
}

function redisSettings(config: Config, environment: Environment): RedisSettings | null {
  const { redis } = config;
  const url = usesRedis(config) ? (redis.url ?? environmentRedisUrl(environment)) : undefined;
  if (url === undefined) return null;
  return { url: url.reveal(), deadlineMs: redis.deadline_ms, prefix: redis.key_prefix };
}

function usesCache({ mode }: Config['cache'], models: readonly ModelConfig[]): boolean {
  return mode !== 'never' || models.some(({ cache }) => cache?.mode !== undefined && cache.mode !== 'never');
}

function modelCache(own: ModelConfig['cache'], all: Config['cache'] | undefined): ModelCache | undefined {
  const mode = own?.mode ?? all?.mode ?? 'never';
  if (mode === 'never' || all === undefined) return undefined;
  return {
    mode,
    ttlMs: (own?.ttl_s ?? all.ttl_s) * 1000,
    sampled: own?.sampled ?? all.sampled,
    endpoints: own?.endpoints ?? all.endpoints,
    revision: own?.revision,
    ...(own?.semantic !== undefined && {
      semantic: { embeddingModel: own.semantic.embedding_model, threshold: own.semantic.threshold },
    }),
  };
}

function modelBatching(batching: ModelConfig['batching']): PoolBatching | undefined {
  if (batching === undefined) return undefined;
  const { max_batch_size: unitsMax, max_wait_ms: waitMaxMs, endpoints } = batching;
  return { unitsMax, waitMaxMs, endpoints };
}

function signalSettings(
  { signals, signal_sources }: Config,
  fromHere: (path: string) => string,
): SignalSettings {
  const { kernel_log, nvidia_smi, docker_socket } = signals;
  return {
    kernelLog: kernel_log === undefined ? undefined : fromHere(kernel_log),
    nvidiaSmi: nvidia_smi.includes('/') ? fromHere(nvidia_smi) : nvidia_smi,
    dockerSocket: docker_socket === undefined ? undefined : fromHere(docker_socket),
    plugins: signal_sources.map(fromHere),
  };
}

function supervisorSettings({ supervisor, timeouts }: Config): SupervisorSettings {
  return {
    restartsMax: supervisor.restarts_max,
    restartWindowMs: supervisor.restart_window_ms,
    backoffInitialMs: Math.min(supervisor.backoff_initial_ms, supervisor.backoff_max_ms),
    backoffMaxMs: supervisor.backoff_max_ms,
    probeIntervalMs: supervisor.probe_interval_ms,
    probeTimeoutMs: Math.min(supervisor.probe_timeout_ms, supervisor.probe_interval_ms),
    probeFailuresMax: supervisor.probe_failures,
    drainTimeoutMs: timeouts.drain_ms,
  };
}

function resolveModel(
  model: ModelConfig,
  cache: Config['cache'] | undefined,
  fromHere: (path: string) => string,
): ResolvedModel {
  const source = modelSource(model, fromHere);
  const servedModel = model.served_model_name ?? defaultServedModel(model, source);
  const urls = model.urls?.map((entry): UrlSettings => (typeof entry === 'string' ? { url: entry } : entry));
  return {
    modelName: model.model_name,
    aliases: model.aliases,
    engine: model.engine,
    servedModel,
    urls: urls?.map(({ url }) => originOf(url)),
    engineKey: model.api_key,
    perUrl: (urls ?? []).map(({ served_model_name, api_key, max_batch_size, weight }) => ({
      servedModel: served_model_name ?? servedModel,
      engineKey: api_key ?? model.api_key,
      maxBatchSize: max_batch_size ?? model.max_batch_size,
      weight,
    })),
    strategy: model.strategy,
    limits: limitSettings(model.limits),
    gpuMetricsUrl: model.gpu_metrics_url,
    fallbacks: model.fallbacks,
    replicas: model.urls?.length ?? model.replicas,
    standby: model.urls === undefined ? model.standby : 0,
    spareDevices: model.spare_devices,
    saferSteps: saferSteps(model),
    model: source,
    command: model.command,
    env: model.env,
    maxBatchSize: model.max_batch_size,
    maxSeqLength: model.max_seq_length,
    threads: model.threads,
    quantize: model.quantize,
    tensorParallelSize: model.tensor_parallel_size,
    args: model.args,
    loraAdapters: model.lora_adapters.map(({ name, path }) => ({
      name,
      path: looksLikePath(path) || model.engine === 'llama-server' ? fromHere(path) : path,
    })),
    startTimeoutMs: model.start_timeout_ms,
    protocol: model.protocol,
    chatTemplate:
      model.chat_template === undefined ? undefined : readChatTemplate(model.chat_template, fromHere),
    metricsUrl: model.metrics_url,
    cache: modelCache(model.cache, cache),
    batching: modelBatching(model.batching),
  };
}

type UrlSettings = Exclude<NonNullable<ModelConfig['urls']>[number], string>;

/** The model that a person names at `workDir`, told to a process that was started elsewhere. */
export function locateModel(
  { engine, model }: { engine: string; model: string },
  environment: Environment,
): string {
  const takesFiles = engine === 'embedded' || engine === 'llama-server';
  if (isAddress(model) || !(takesFiles || looksLikePath(model))) return model;
  return pathsFrom(environment.workDir, environment)(model);
}

function isAddress(text: string): boolean {
  return /^(hf|huggingface|https?):/.test(text);
}

/** gRPC is HTTP/2: its addresses are told by the protocol, not by the scheme. */
function originOf(url: string): string {
  return url
    .replace(/^grpc(s?):/, 'http$1:')
    .replace(/\/+$/, '')
    .replace(/\/v1$/, '');
}

function modelSource(model: ModelConfig, fromHere: (path: string) => string): string {
  if (model.model === undefined) return model.engine === 'embedded' ? DEMO_MODEL_FILE : model.model_name;
  if (isAddress(model.model)) return model.model;
  const takesFiles = model.engine === 'embedded' || model.engine === 'llama-server';
  return takesFiles || looksLikePath(model.model) ? fromHere(model.model) : model.model;
}

function looksLikePath(text: string): boolean {
  return /^(\.{0,2}\/|~\/|~$|\.{1,2}$)/.test(text);
}

/**
 * Engines that we start are told `model_name`, but where the command is the user's own, the engine runs already, or it can be
 * told no name, the model is known there by the name that the user loads it under.
 */
function defaultServedModel(model: ModelConfig, source: string): string {
  const named =
    // Triton's `model` is the repository, which holds many.
    model.engine !== 'triton' &&
    (model.urls !== undefined || model.command !== undefined || NAMES_OF_THEIR_OWN.includes(model.engine));
  return model.model !== undefined && named ? source : model.model_name;
}

const NAMES_OF_THEIR_OWN: readonly EngineKind[] = ['tgi', 'ollama'];

/** The real path of what exists of `path`, with the rest appended: two spellings of one directory become one. */
function canonicalPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const parent = dirname(path);
  return parent === path ? path : join(canonicalPath(parent), basename(path));
}

function sha256(key: Secret): string {
  return createHash('sha256').update(key.reveal()).digest('hex');
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
