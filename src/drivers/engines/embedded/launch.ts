/**
 * How the supervisor starts the embedded engine, and what it can do. Nothing native is loaded here: the node process must start
 * on platforms that have no binary.
 */
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PlatformError } from '../../../contract/errors.ts';
import type { EngineCapabilities } from '../../../contract/fleet.ts';
import type { LaunchContext, LaunchPlan } from '../../../contract/ports/engine-driver.ts';
import { checkGgufQuantize, withGgufQuantize } from '../gguf-quantize.ts';
import { isModelAddress } from './model-address.ts';
import { checkModelFile } from './model-file.ts';

export const embeddedCapabilities: EngineCapabilities = {
  tokenReplay: true,
  chatContinuation: true,
  tokenize: true,
  determinism: 'seeded',
  wholeTokenEvents: true,
  lenientFields: true,
  endpoints: ['rerank', 'score', 'tokenize', 'detokenize'],
};

/** Requests in flight at once when the configuration does not say. */
export const embeddedDefaultWindow = 16;

/** Throws PlatformError `engine_binary_missing` or `model_file_invalid`. */
export async function embeddedLaunch(context: LaunchContext): Promise<LaunchPlan> {
  requireEngine();
  const model = withGgufQuantize(context.model, context.quantize);
  if (!isModelAddress(model)) {
    checkModelFile(model);
    checkGgufQuantize(model, context.quantize);
  }
  const entry = new URL(
    `../../../assembly/embedded-engine-process${extname(import.meta.url)}`,
    import.meta.url,
  );
  const optional = (name: string, value: number | undefined) =>
    value === undefined ? [] : [name, String(value)];
  return {
    command: process.execPath,
    args: [
      ...ENGINE_FLAGS,
      fileURLToPath(entry),
      ...['--model', model],
      ...['--model-name', context.modelName],
      ...['--host', context.host],
      ...(context.portFile === null
        ? ['--port', String(context.port)]
        : ['--port', '0', '--port-file', context.portFile]),
      ...['--sequences', String(context.maxBatchSize)],
      ...optional('--context', context.maxSeqLength),
      ...optional('--threads', context.threads),
      ...(context.args ?? []),
    ],
    env: { ...context.env, ...ENGINE_ENVIRONMENT },
    portFrom: context.portFile === null ? 'assigned' : 'file',
  };
}

/**
 * One thread in libuv's pool. With more, samplers of one batch run at the same time, and llama.cpp's lazy reordering of the
 * batch's outputs (`llama_get_logits_ith`) is not safe for that: sequences then get each other's logits. Nothing is lost, for
 * the engine computes one batch at a time anyway, on threads of its own.
 */
export const ENGINE_ENVIRONMENT = { UV_THREADPOOL_SIZE: '1' } as const;

/** Garbage is collected early: V8 would let its young generation grow to 100 MB for nothing (measured; no speed lost). */
const ENGINE_FLAGS = ['--max-semi-space-size=4'];

function requireEngine(): void {
  try {
    createRequire(import.meta.url).resolve('node-llama-cpp');
  } catch (cause) {
    throw missingEngine('it is not installed', cause);
  }
}

/** Also used where the installed package turns out to have no binary for this platform. */
export function missingEngine(found: string, cause: unknown): PlatformError {
  return new PlatformError(
    'engine_binary_missing',
    `the embedded engine needs the optional package node-llama-cpp, but ${found} (${process.platform} ${process.arch}); install it with "npm install", or point \`urls:\` of the model at an engine that runs elsewhere`,
    { cause },
  );
}
