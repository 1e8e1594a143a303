/**
 * Models named by address instead of path: `hf:user/repository/file.gguf` and the other forms that node-llama-cpp resolves. The
 * file is downloaded once into a directory of ours and found there afterwards, without a network.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PlatformError } from '../../../contract/errors.ts';

export function isModelAddress(model: string): boolean {
  return /^(hf|huggingface|https?):/i.test(model);
}

export function modelDirectory(environment: NodeJS.ProcessEnv): string {
  const cache = environment.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return environment.AUTOGLM_MODELS_DIR ?? join(cache, 'autoglm', 'models');
}

/** Path of the model file, downloaded if it is not here yet. */
export async function resolveModelAddress(
  address: string,
  options: { directory: string; signal: AbortSignal },
): Promise<string> {
  const { resolveModelFile } = await import('node-llama-cpp');
  try {
    return await resolveModelFile(address, {
      directory: options.directory,
      cli: false,
      signal: options.signal,
      onProgress: () => {},
    });
  } catch (cause) {
    throw new PlatformError(
      'model_file_invalid',
      `model ${address}: it is not in ${options.directory} and can not be downloaded (${reasonOf(cause)}); check the address and the network, or give the path of a GGUF file`,
      { cause },
    );
  }
}

function reasonOf(cause: unknown): string {
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const root = error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
  return root.split('\n', 1)[0] ?? 'unknown error';
}
