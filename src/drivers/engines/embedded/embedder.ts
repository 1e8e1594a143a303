/**
 * Vectors from the model's last layer, with a context of its own that is made at the first request. One text at a time; the
 * queue is bounded.
 */
import type { LlamaEmbeddingContext, LlamaModel, Token } from 'node-llama-cpp';
import { PlatformError } from '../../../contract/errors.ts';

const WAITING_MAX = 256;

export class Embedder {
  readonly #model: LlamaModel;
  readonly #contextLength: number;
  readonly #threads: number;
  #context: Promise<LlamaEmbeddingContext> | undefined;
  #waiting = 0;

  constructor(options: { model: LlamaModel; contextLength: number; threads: number }) {
    this.#model = options.model;
    this.#contextLength = options.contextLength;
    this.#threads = options.threads;
  }

  /** Of length 1 (L2). */
  async embed(tokens: readonly number[], signal: AbortSignal): Promise<number[]> {
    signal.throwIfAborted();
    if (this.#waiting >= WAITING_MAX) {
      throw new PlatformError('engine_full', `${WAITING_MAX} texts wait for embeddings already`, {
        retryAfterS: 1,
      });
    }
    this.#waiting++;
    try {
      this.#context ??= this.#model.createEmbeddingContext({
        contextSize: this.#contextLength,
        batchSize: this.#contextLength,
        threads: this.#threads,
      });
      const context = await this.#context;
      const { vector } = await context.getEmbeddingFor([...tokens] as Token[]);
      signal.throwIfAborted();
      return normalized(vector);
    } finally {
      this.#waiting--;
    }
  }

  async close(): Promise<void> {
    await (await this.#context)?.dispose();
  }
}

function normalized(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return length === 0 ? [...vector] : vector.map((value) => value / length);
}
