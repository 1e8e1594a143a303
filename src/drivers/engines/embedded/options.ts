/** The command line of the embedded engine's process: parsed strictly, with every default filled in. */
import { parseArgs } from 'node:util';
import { PlatformError } from '../../../contract/errors.ts';
import { BUILTIN_MODEL } from './builtin-model.ts';

export interface EmbeddedOptions {
  model: string;
  modelName: string;
  host: string;
  port: number;
  portFile: string | undefined;
  sequences: number;
  /** Tokens per sequence; undefined: what the model was trained for, at most 8192. */
  contextLength: number | undefined;
  threads: number;
  queueMax: number;
  /** Same tokens, same bits, in any company. `auto`: for models of at most EXACT_MODEL_BYTES_MAX bytes. */
  exact: 'auto' | 'on' | 'off';
  /** Used where a request gives none; undefined: 0 for the built-in model and 1 for others. */
  temperature: number | undefined;
  /** Environment variable that holds the bearer key. */
  apiKeyEnv: string | undefined;
  /** How long running requests may go on after SIGTERM. */
  drainMs: number;
}

/** Beyond this size a prompt computed token by token would keep users waiting. */
export const EXACT_MODEL_BYTES_MAX = 64 * 1024 * 1024;

const STRING = { type: 'string' } as const;

const FLAGS = {
  model: STRING,
  'model-name': STRING,
  host: STRING,
  port: STRING,
  'port-file': STRING,
  sequences: STRING,
  context: STRING,
  threads: STRING,
  queue: STRING,
  exact: STRING,
  temperature: STRING,
  'api-key-env': STRING,
  'drain-ms': STRING,
};

/** Throws PlatformError `config_invalid` that names the option, the value found and what would be right. */
export function parseEmbeddedArgs(args: readonly string[]): EmbeddedOptions {
  const values = readFlags(args);
  const integer = (name: keyof typeof FLAGS, min: number, max: number) => {
    const text = values[name];
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw invalid(`--${name}: found "${text}"; expected an integer from ${min} to ${max}`);
  };
  const model = values.model ?? BUILTIN_MODEL.path;
  return {
    model,
    modelName: values['model-name'] ?? BUILTIN_MODEL.name,
    host: values.host ?? '127.0.0.1',
    port: integer('port', 0, 65_535) ?? 0,
    portFile: values['port-file'],
    sequences: integer('sequences', 1, 256) ?? 16,
    contextLength: integer('context', 32, 1 << 24),
    threads: integer('threads', 1, 1024) ?? 1,
    queueMax: integer('queue', 0, 100_000) ?? 64,
    exact: exactMode(values.exact ?? 'auto'),
    temperature: temperature(values.temperature),
    apiKeyEnv: values['api-key-env'],
    drainMs: integer('drain-ms', 0, 86_400_000) ?? 30_000,
  };
}

function readFlags(args: readonly string[]): Partial<Record<keyof typeof FLAGS, string>> {
  try {
    return parseArgs({ args: [...args], options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError(
      'config_invalid',
      `${reason.split('\n', 1)[0]}; known: --${Object.keys(FLAGS).join(', --')}`,
      {
        cause,
      },
    );
  }
}

function exactMode(text: string): EmbeddedOptions['exact'] {
  if (text === 'auto' || text === 'on' || text === 'off') return text;
  throw invalid(`--exact: found "${text}"; expected auto, on or off`);
}

function temperature(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 100) return value;
  throw invalid(`--temperature: found "${text}"; expected a number from 0 to 100`);
}

function invalid(message: string): PlatformError {
  return new PlatformError('config_invalid', message);
}
