/**
 * Loads node-llama-cpp, the model and the context: the only place that imports it for its values. Everything that can go wrong
 * here ends as one readable PlatformError.
 */
import type { Llama, LlamaContext, LlamaContextSequence, LlamaModel } from 'node-llama-cpp';
import { PlatformError } from '../../../contract/errors.ts';
import { planExactBatch, planFullBatch } from './batch-plan.ts';
import { missingEngine } from './launch.ts';
import { keepNativeSamplers } from './native-samplers.ts';

export type LlamaLibrary = typeof import('node-llama-cpp');

export interface NativeOptions {
  modelPath: string;
  sequences: number;
  /** Tokens per sequence; undefined: what the model was trained for, at most CONTEXT_DEFAULT_MAX. */
  contextLength: number | undefined;
  threads: number;
  /** Whether the same tokens give the same bits in any company; see batch-plan.ts. */
  exact: boolean;
  /** Called for each batch that is computed. */
  onBatch(): void;
  /** Warnings and errors of the native library. */
  log(message: string): void;
}

export interface NativeEngine {
  api: LlamaLibrary;
  llama: Llama;
  model: LlamaModel;
  context: LlamaContext;
  sequences: LlamaContextSequence[];
  contextLength: number;
}

const CONTEXT_DEFAULT_MAX = 8192;
/** A prompt is computed in pieces of at most so many tokens; between them a request can be aborted. */
const BATCH_TOKENS = 512;

export async function loadNativeEngine(options: NativeOptions): Promise<NativeEngine> {
  const library = await importLibrary();
  const llama = await startLlama(library, options.log);
  keepNativeSamplers(llama);
  const model = await loadModel(llama, options.modelPath);
  const trained = model.trainContextSize;
  const contextLength = Math.min(options.contextLength ?? CONTEXT_DEFAULT_MAX, trained);
  const plan = options.exact ? planExactBatch : planFullBatch;
  let context: LlamaContext;
  try {
    context = await model.createContext({
      sequences: options.sequences,
      contextSize: contextLength,
      batchSize: options.exact ? options.sequences : Math.max(BATCH_TOKENS, options.sequences),
      threads: options.threads,
      // Without flash attention the kernels for one token do not depend on the rest of the batch.
      flashAttention: options.exact ? false : 'auto',
      failedCreationRemedy: false,
      batching: {
        itemPrioritizationStrategy: (request) => {
          options.onBatch();
          return plan(request);
        },
      },
    });
  } catch (cause) {
    throw new PlatformError(
      'model_file_invalid',
      `model file ${options.modelPath}: no context of ${options.sequences} sequences of ${contextLength} tokens: ${firstLine(cause)}; a smaller max_batch_size or max_seq_length needs less memory`,
      { cause },
    );
  }
  const sequences = Array.from({ length: options.sequences }, () => context.getSequence());
  return { api: library, llama, model, context, sequences, contextLength };
}

async function importLibrary(): Promise<LlamaLibrary> {
  try {
    return await import('node-llama-cpp');
  } catch (cause) {
    throw missingEngine(`it can not be loaded: ${firstLine(cause)}`, cause);
  }
}

async function startLlama(library: LlamaLibrary, log: (message: string) => void): Promise<Llama> {
  try {
    return await library.getLlama({
      build: 'never',
      skipDownload: true,
      gpu: false,
      progressLogs: false,
      logLevel: library.LlamaLogLevel.error,
      logger: (_level, message) => log(message.trim()),
      // Threads are set per context; the library's own limit would only make contexts wait for each other.
      maxThreads: 0,
    });
  } catch (cause) {
    throw missingEngine(`it has no binary for this platform: ${firstLine(cause)}`, cause);
  }
}

async function loadModel(llama: Llama, modelPath: string): Promise<LlamaModel> {
  try {
    return await llama.loadModel({ modelPath, gpuLayers: 0 });
  } catch (cause) {
    throw new PlatformError(
      'model_file_invalid',
      `model file ${modelPath}: it can not be loaded: ${firstLine(cause)}`,
      {
        cause,
      },
    );
  }
}

function firstLine(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.split('\n', 1)[0] ?? '';
}
