/**
 * Options of `InferenceEngine`, and the configuration file that they stand for. They are checked by the schema of that file, so
 * whatever `autoglm.yaml` refuses is refused here too, in the words of these options.
 */
import { nearest } from '../assembly/config/did-you-mean.ts';
import type { Environment } from '../assembly/config/environment.ts';
import { parseModelEntry, requireModelRules } from '../assembly/config/model-entry.ts';
import { locateModel } from '../assembly/config/resolve-config.ts';
import { BUILTIN_MODEL_NAME } from '../contract/builtin-model.ts';
import { type ConfigInput, configSchema } from '../contract/config-schema.ts';
import { PlatformError } from '../contract/errors.ts';
import type { EngineKind } from '../contract/fleet.ts';
import type { LoraAdapter } from '../contract/lora.ts';
import type { ModelConfig } from '../contract/model-schema.ts';

export interface InferenceEngineOptions {
  /** Default: the demo model that comes with the package. Another one needs `model`, `urls` or `command`. */
  modelName?: string;
  /** Default `embedded`, which needs nothing else installed. */
  engine?: EngineKind;
  /** A GGUF file, an `hf:` address, or the name that the engine understands. Relative to the working directory. */
  model?: string;
  /** Context in tokens. Default: what the model was trained for, with the embedded engine at most 8192. */
  maxSeqLength?: number;
  /** What the weights are quantized to, such as `INT8`. A model file that is something else is refused. */
  quantize?: string;
  /** Engines to start; with more than one a broken stream goes on at once. Default: 2 of the demo model, 1 of others. */
  replicas?: number;
  /** Requests in flight per replica. */
  maxBatchSize?: number;
  /** Processor threads per embedded replica. Default 1. */
  threads?: number;
  loraAdapters?: readonly LoraAdapter[];
  /** Engines that run already: used and watched, never started. */
  urls?: readonly string[];
  /** Bearer key that the engine wants. */
  apiKey?: string;
  /** Program and arguments that start the engine; {port}, {host} and {model} are filled in. */
  command?: readonly string[];
  /** Environment of the engine, beside PATH, HOME and the like. */
  env?: Readonly<Record<string, string>>;
  /** Longest time from start to ready. Default 600000. */
  startTimeoutMs?: number;
  /** Any other key of `models` in the configuration file, as it is written there. */
  settings?: Readonly<Record<string, unknown>>;
  /** Where records and logs go. Default: a temporary directory that is removed at the end. */
  stateDir?: string;
  /** Ends the engine, at its start or at any time later. */
  signal?: AbortSignal;
}

/** Our names, and those of the configuration file. */
const KEYS = {
  modelName: 'model_name',
  engine: 'engine',
  model: 'model',
  maxSeqLength: 'max_seq_length',
  quantize: 'quantize',
  replicas: 'replicas',
  maxBatchSize: 'max_batch_size',
  threads: 'threads',
  loraAdapters: 'lora_adapters',
  urls: 'urls',
  apiKey: 'api_key',
  command: 'command',
  env: 'env',
  startTimeoutMs: 'start_timeout_ms',
} as const satisfies Partial<Record<keyof InferenceEngineOptions, string>>;

const OTHER_KEYS = ['settings', 'stateDir', 'signal'];
const DEMO_REPLICAS = 2;

export interface ModelEntry {
  /** As it is written into the configuration file. */
  written: Record<string, unknown>;
  checked: ModelConfig;
}

/** Throws PlatformError `config_invalid` that names the option, the value found and what would be right. */
export function modelEntryOf(options: InferenceEngineOptions, environment: Environment): ModelEntry {
  requireKnown(options);
  const written: Record<string, unknown> = { ...options.settings };
  for (const [option, key] of Object.entries(KEYS)) {
    const value = options[option as keyof typeof KEYS];
    if (value !== undefined) written[key] = value;
  }
  const isDemo = written.model_name === undefined;
  written.model_name ??= BUILTIN_MODEL_NAME;
  written.replicas ??= isDemo ? DEMO_REPLICAS : 1;
  const { engine = 'embedded', model } = written;
  if (typeof model === 'string') written.model = locateModel({ engine: String(engine), model }, environment);
  try {
    const checked = parseModelEntry(written);
    requireModelRules(configSchema.parse({ models: [written] }), 0);
    return { written, checked };
  } catch (error) {
    throw new PlatformError('config_invalid', inOurNames(PlatformError.from(error).message));
  }
}

/** The rest of the file: nothing listens beyond this machine, and nobody without the key gets in. */
export function systemConfig(
  stateDir: string,
  key: string,
  entry: Record<string, unknown>,
): Omit<ConfigInput, 'models'> & { models: unknown[] } {
  return {
    state_dir: stateDir,
    gateway: { host: '127.0.0.1', port: 0, workers: 2, keys: [{ name: 'owner', key }] },
    admin: { host: '127.0.0.1', port: 0, keys: [{ name: 'owner', key }] },
    models: [entry],
  };
}

function requireKnown(options: InferenceEngineOptions): void {
  const known = [...Object.keys(KEYS), ...OTHER_KEYS];
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const meant = nearest(unknown, known);
  const hint = meant === undefined ? `known: ${known.join(', ')}` : `did you mean ${meant}?`;
  throw new PlatformError('config_invalid', `${unknown.slice(0, 80)}: this option is not known; ${hint}`);
}

/** Each line of a message begins with the key that it is about. */
function inOurNames(message: string): string {
  const ours = new Map<string, string>(Object.entries(KEYS).map(([option, key]) => [key, option]));
  return message
    .split('\n')
    .map((line) => line.replace(/^[a-z_]+/, (key) => ours.get(key) ?? key))
    .join('\n');
}
