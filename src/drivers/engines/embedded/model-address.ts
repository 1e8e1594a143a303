/**
 * Models named by address instead of path: `hf:user/repository/file.gguf` and the other forms that node-llama-cpp resolves. The
 * file is downloaded once into a directory of ours and found there afterwards, without a network.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';

export function isModelAddress(model: string): boolean {
  return /^(hf|huggingface|https?):/i.test(model);
}

/**
 * What is wrong with the shape of an address, or undefined: as node-llama-cpp reads it, an address at Hugging Face names user,
 * repository and a GGUF file or a quantization; any other must be the address of a GGUF file.
 */
export function modelAddressFault(address: string): string | undefined {
  const place = /^(?:hf|huggingface):(?:\/\/)?(.*)$/.exec(address)?.[1];
  if (place !== undefined) {
    const good =
      /^[^/:#\s]+\/[^/:#\s]+(?::[^/#\s]+|(?:\/[^/#\s]+)*\/[^/#\s]+\.gguf[^/#\s]*(?:#\S+)?)?$/i.test(place);
    if (good) return undefined;
    return `found "${address}"; would be right: hf:USER/REPOSITORY/FILE.gguf, hf:USER/REPOSITORY:QUANTIZATION such as hf:USER/REPOSITORY:Q4_K_M, or hf:USER/REPOSITORY`;
  }
  if (/^https?:/.test(address) && URL.canParse(address) && new URL(address).hostname !== '') return undefined;
  return `found "${address}"; would be right: an address that begins with hf:, huggingface:, https: or http: in small letters, such as https://example.org/model.gguf`;
}

export function modelDirectory(environment: NodeJS.ProcessEnv): string {
  const cache = environment.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return environment.AUTOGLM_MODELS_DIR ?? join(cache, 'autoglm', 'models');
}

/** How long a download may make no progress; without a network the library would try for ever. */
const NO_PROGRESS_DEFAULT_MS = 30_000;

/** Path of the model file, downloaded if it is not here yet. */
export async function resolveModelAddress(
  address: string,
  options: { directory: string; clock: Clock; noProgressMs?: number },
): Promise<string> {
  const { resolveModelFile } = await import('node-llama-cpp');
  const stalled = new AbortController();
  let progressMs = options.clock.monotonicMs();
  const watch = watchProgress({
    clock: options.clock,
    lastMs: () => progressMs,
    noProgressMs: options.noProgressMs ?? NO_PROGRESS_DEFAULT_MS,
    stalled,
  });
  try {
    const resolving = resolveModelFile(address, {
      directory: options.directory,
      cli: false,
      signal: stalled.signal,
      onProgress: () => {
        progressMs = options.clock.monotonicMs();
      },
    });
    return await Promise.race([resolving, watch.failed]);
  } catch (cause) {
    throw new PlatformError(
      'model_file_invalid',
      `model ${address}: it is not in ${options.directory} and can not be downloaded (${reasonOf(cause)}); check the address and the network, or give the path of a GGUF file`,
      { cause },
    );
  } finally {
    watch.stop();
  }
}

/** Fails, and aborts the download, when its last progress is too long ago. */
function watchProgress({
  clock,
  lastMs,
  noProgressMs,
  stalled,
}: {
  clock: Clock;
  lastMs(): number;
  noProgressMs: number;
  stalled: AbortController;
}): { failed: Promise<never>; stop(): void } {
  const stopped = new AbortController();
  const watch = async (): Promise<never> => {
    for (;;) {
      const leftMs = lastMs() + noProgressMs - clock.monotonicMs();
      if (leftMs <= 0) {
        const reason = new Error(`no progress for ${noProgressMs / 1000} s`);
        stalled.abort(reason);
        throw reason;
      }
      await clock.sleep(leftMs, stopped.signal);
    }
  };
  const failed = watch();
  // When the download wins, nobody waits for the watch, which ends by `stop`.
  failed.catch(() => {});
  return { failed, stop: () => stopped.abort() };
}

function reasonOf(cause: unknown): string {
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const root = error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
  return root.split('\n', 1)[0] ?? 'unknown error';
}
