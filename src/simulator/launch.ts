/**
 * How the supervisor starts a simulator as an engine of kind `simulator`, and what it can do. Further options come from
 * the model's `args`, or from AUTOGLM_SIMULATOR_ARGS in its `env`: a JSON array of arguments.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PlatformError } from '../contract/errors.ts';
import type { EngineCapabilities } from '../contract/fleet.ts';
import type { LaunchContext, LaunchPlan } from '../contract/ports/engine-driver.ts';
import { parseSimulatorArgs } from './options.ts';

export const simulatorCapabilities: EngineCapabilities = {
  tokenReplay: true,
  chatContinuation: true,
  tokenize: true,
  determinism: 'seeded',
  wholeTokenEvents: true,
  lenientFields: true,
  endpoints: ['rerank', 'score', 'tokenize', 'detokenize', 'classify'],
};

/** Requests in flight at once when the configuration does not say. */
export const SIMULATOR_DEFAULT_WINDOW = 256;

const ARGS_VARIABLE = 'AUTOGLM_SIMULATOR_ARGS';

/** Throws PlatformError `config_invalid` for options that the simulator does not know. */
export async function simulatorLaunch(context: LaunchContext): Promise<LaunchPlan> {
  const args = [
    '--host',
    context.host,
    ...(context.portFile === null
      ? ['--port', String(context.port)]
      : ['--port', '0', '--port-file', context.portFile]),
    '--model-name',
    context.modelName,
    '--max-num-seqs',
    String(context.maxBatchSize),
    ...(context.maxSeqLength === undefined ? [] : ['--max-model-len', String(context.maxSeqLength)]),
    // The calls of vLLM's dev mode, by the variable that opens them there.
    ...(context.env.VLLM_SERVER_DEV_MODE === '1' ? ['--control-calls', '1'] : []),
    ...adapterArgs(context),
    ...extraArgs(context),
    ...(context.args ?? []),
  ];
  parseSimulatorArgs(args);
  const entry = new URL(`../assembly/simulator-process${extname(import.meta.url)}`, import.meta.url);
  return {
    command: process.execPath,
    args: [fileURLToPath(entry), ...args],
    env: context.env,
    portFrom: context.portFile === null ? 'assigned' : 'file',
  };
}

function adapterArgs({ adapters = [] }: LaunchContext): string[] {
  if (adapters.length === 0) return [];
  return ['--enable-lora', 'true', ...adapters.flatMap((one) => ['--lora-modules', JSON.stringify(one)])];
}

function extraArgs({ env, replicaId }: LaunchContext): string[] {
  const text = env[ARGS_VARIABLE];
  if (text === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new PlatformError(
    'config_invalid',
    `env.${ARGS_VARIABLE} of ${replicaId}: found ${text.slice(0, 100)}; expected a JSON array of strings such as ["--speed","2"]`,
  );
}
