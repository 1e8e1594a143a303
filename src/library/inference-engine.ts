/**
 * An inference engine for Node programs: a model, started and supervised as `autoglm serve` does it, in processes of its own, so
 * that an engine that dies costs a pause and no answer. It belongs to the program that made it and ends with it.
 *
 * States: starting -> ready -> closing -> closed; or failed, when it could not be started. Whoever made it closes it.
 */
import { type Environment, readEnvironment } from '../assembly/config/environment.ts';
import { checkFileOf, readsModelFile } from '../assembly/config/model-files.ts';
import { resolveModels } from '../assembly/config/resolve-config.ts';
import type { SystemStatus } from '../contract/admin-api.ts';
import { PlatformError } from '../contract/errors.ts';
import { type InferenceEngineOptions, type ModelEntry, modelEntryOf } from './engine-options.ts';
import {
  type CompleteGeneration,
  type Endpoint,
  type GenerateOptions,
  type GenerationStream,
  Generations,
  type Prompt,
} from './generation.ts';
import { OwnedSystem } from './owned-system.ts';

export class InferenceEngine {
  /** Resolves when the first replica takes requests; rejects with PlatformError when none can be started. */
  readonly ready: Promise<void>;
  readonly modelName: string;
  readonly #system: OwnedSystem;
  readonly #generations: Generations;
  readonly #abort = new AbortController();

  /** Starts at once. Throws PlatformError `config_invalid` for options that can never work. */
  constructor(options: InferenceEngineOptions = {}) {
    const environment = readEnvironment();
    const entry = modelEntryOf(options, environment);
    requireFile(entry, environment);
    this.modelName = entry.checked.model_name;
    this.#system = new OwnedSystem({
      entry: entry.written,
      modelName: this.modelName,
      stateDir: options.stateDir,
      environment,
      startTimeoutMs: entry.checked.start_timeout_ms,
    });
    this.#generations = new Generations(() => this.#system.endpoint(), this.modelName);
    this.ready = this.#system.start(this.#abort.signal);
    // Whoever never asks is told by each call.
    this.ready.catch(() => {});
    const { signal } = options;
    if (signal?.aborted) void this.close();
    else signal?.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** Answers a prompt or a conversation. Waits for `ready` first. */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<CompleteGeneration> {
    await this.#untilReady(options.signal);
    return this.#generations.generate(prompt, options);
  }

  /**
   * The same, as it is computed: `for await (const text of engine.stream('...'))`. When an engine dies in the middle, another
   * one goes on where it stopped. Nothing is asked for before the loop begins.
   */
  stream(prompt: Prompt, options: GenerateOptions = {}): GenerationStream {
    const inner = this.#generations.stream(prompt, options);
    const untilReady = () => this.#untilReady(options.signal);
    return {
      result: inner.result,
      async *[Symbol.asyncIterator]() {
        await untilReady();
        yield* inner;
      },
    };
  }

  /** A vector for each text. */
  embed(text: string, options?: Pick<GenerateOptions, 'model' | 'signal'>): Promise<number[]>;
  embed(texts: readonly string[], options?: Pick<GenerateOptions, 'model' | 'signal'>): Promise<number[][]>;
  async embed(
    texts: string | readonly string[],
    options: Pick<GenerateOptions, 'model' | 'signal'> = {},
  ): Promise<number[] | number[][]> {
    await this.#untilReady(options.signal);
    const vectors = await this.#generations.embed(typeof texts === 'string' ? [texts] : texts, options);
    return typeof texts === 'string' ? (vectors[0] ?? []) : vectors;
  }

  /** What `autoglm status` shows. */
  async status(signal?: AbortSignal): Promise<SystemStatus> {
    await this.#untilReady(signal);
    return this.#system.status(signal);
  }

  /** For any OpenAI client on this machine: `new OpenAI({ baseURL: `${url}/v1`, apiKey })`. */
  async endpoint(): Promise<Endpoint> {
    await this.#untilReady(undefined);
    return this.#system.endpoint();
  }

  /** Takes no more, finishes what runs (at most 30 s), ends every process. Resolves when none is left. */
  async close(): Promise<void> {
    this.#abort.abort(new PlatformError('shutting_down', 'the engine is closed'));
    await this.#system.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #untilReady(signal: AbortSignal | undefined): Promise<void> {
    if (signal === undefined) return this.ready;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () =>
      reject(new PlatformError('client_closed', 'the request was given up', { cause: signal.reason }));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await Promise.race([this.ready, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

/** What can be known of the file before anything is started: that it is there, whole, and quantized as it should be. */
function requireFile({ checked }: ModelEntry, environment: Environment): void {
  const [model] = resolveModels({ file: null, environment }, [checked]);
  if (model === undefined || !readsModelFile(model)) return;
  const found = checkFileOf(model);
  if ('fault' in found) throw new PlatformError('config_invalid', `model: ${found.fault}`);
}
