/**
 * The embedded engine as an `EngineCore`: continuous batching over the sequences of one llama.cpp context. Each request owns a
 * sequence while it runs; sequences advance one token per step, and llama.cpp joins all steps that wait into one batch.
 *
 * Invariants: the context never shifts, for prompt and answer are checked against it here; what a request computes depends only
 * on its own tokens and parameters (exact mode); a sequence goes back to the pool whichever way a request ends.
 */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type {
  ChatTurn,
  CoreFinish,
  EngineCore,
  EngineCoreInfo,
  EngineCoreMetrics,
  GeneratedToken,
  GenerateRequest,
  RenderOptions,
} from '../../../contract/ports/engine-core.ts';
import {
  FIRST_TOKEN_BOUNDS,
  INTER_TOKEN_BOUNDS,
  LatencyHistogram,
  REQUEST_BOUNDS,
} from '../../../wire/vllm/latency-histogram.ts';
import { createChatRenderer, type RenderChat } from './chat-renderer.ts';
import { Embedder } from './embedder.ts';
import { JsonGrammars } from './json-grammar.ts';
import { type LlamaLibrary, loadNativeEngine, type NativeEngine } from './native-engine.ts';
import { PrefillShare } from './prefill-share.ts';
import { commonPrefix, type PooledSequence, SequencePool } from './sequence-pool.ts';
import { SequenceRun } from './sequence-run.ts';
import { StepGate } from './step-gate.ts';
import { createTokenBytes } from './token-bytes.ts';

export interface EmbeddedCoreOptions {
  modelPath: string;
  modelName: string;
  /** Requests that run at once. */
  sequences: number;
  /** Requests that may wait besides. */
  queueMax: number;
  /** Tokens; undefined: see NativeOptions. */
  contextLength: number | undefined;
  threads: number;
  exact: boolean;
  clock: Clock;
  /** A seed for requests that bring none. */
  drawSeed(): number;
  log(message: string): void;
}

export async function createEmbeddedCore(options: EmbeddedCoreOptions): Promise<EngineCore> {
  const steps = { count: 0 };
  const native = await loadNativeEngine({
    ...options,
    onBatch: () => {
      steps.count++;
    },
  });
  const { model } = native;
  const { tokens: special } = model;
  const tokenize = (text: string, parseSpecial: boolean) => model.tokenize(text, parseSpecial) as number[];
  const renderChat = await createChatRenderer({
    template: model.fileInfo.metadata.tokenizer?.chat_template,
    bosText: special.bosString ?? '',
    eosText: special.eosString ?? '',
    bosToPrepend: special.shouldPrependBosToken ? (special.bos ?? undefined) : undefined,
    tokenize,
  });
  return new EmbeddedCore(options, native, renderChat, () => steps.count);
}

class EmbeddedCore implements EngineCore {
  readonly info: EngineCoreInfo;
  readonly #options: EmbeddedCoreOptions;
  readonly #native: NativeEngine;
  readonly #renderChat: RenderChat;
  readonly #stepCount: () => number;
  readonly #tokenBytes: (id: number) => Uint8Array;
  readonly #pool: SequencePool<LlamaContextSequence>;
  readonly #grammars: JsonGrammars;
  readonly #embedder: Embedder;
  readonly #runs = new Set<SequenceRun>();
  readonly #gate = new StepGate();
  readonly #share: PrefillShare;
  readonly #closing = new AbortController();
  readonly #finished = { stop: 0, length: 0, abort: 0 };
  readonly #totals = { prefixQueries: 0, prefixHits: 0, promptTokens: 0, generatedTokens: 0 };
  readonly #firstToken = new LatencyHistogram(FIRST_TOKEN_BOUNDS);
  readonly #interToken = new LatencyHistogram(INTER_TOKEN_BOUNDS);
  readonly #request = new LatencyHistogram(REQUEST_BOUNDS);
  #endTokens: number[] | undefined;

  constructor(
    options: EmbeddedCoreOptions,
    native: NativeEngine,
    renderChat: RenderChat,
    stepCount: () => number,
  ) {
    const { model, contextLength } = native;
    const vocabulary = model.fileInfo.metadata.tokenizer?.ggml;
    this.#options = options;
    this.#native = native;
    this.#renderChat = renderChat;
    this.#stepCount = stepCount;
    this.#tokenBytes = createTokenBytes(
      {
        kind: vocabulary?.model ?? '',
        tokens: vocabulary?.tokens ?? [],
        types: vocabulary?.token_type as readonly number[] | undefined,
      },
      (id) => model.detokenize([id as Token]),
    );
    this.#share = new PrefillShare(options.exact);
    this.#pool = new SequencePool(native.sequences, options.queueMax);
    this.#grammars = new JsonGrammars(native.llama);
    this.#embedder = new Embedder({ model, contextLength, threads: options.threads });
    this.info = {
      model: options.modelName,
      ownedBy: 'open-autoglm',
      contextLength,
      vocabularySize: vocabulary?.tokens?.length ?? 0,
      canEmbed: !model.fileInsights.hasEncoder,
    };
  }

  tokenize(text: string, { parseSpecial }: { parseSpecial: boolean }): number[] {
    const { model } = this.#native;
    const tokens = model.tokenize(text, parseSpecial) as number[];
    const { bos, shouldPrependBosToken } = model.tokens;
    if (!parseSpecial || !shouldPrependBosToken || bos === null || tokens[0] === bos) return tokens;
    return [bos, ...tokens];
  }

  detokenize(tokens: readonly number[]): Uint8Array {
    this.#checkIds(tokens);
    return Buffer.concat(tokens.map(this.#tokenBytes));
  }

  tokenText(id: number): string {
    this.#checkIds([id]);
    return this.#native.model.detokenize([id as Token], true);
  }

  renderChat(messages: readonly ChatTurn[], options: RenderOptions): number[] {
    return this.#renderChat(messages, options);
  }

  canAccept(): boolean {
    return !this.#pool.full && !this.#closing.signal.aborted;
  }

  async *generate(
    request: GenerateRequest,
    signal: AbortSignal,
  ): AsyncGenerator<GeneratedToken[], CoreFinish, void> {
    const { clock } = this.#options;
    const arrivedMs = clock.monotonicMs();
    let outcome: 'stop' | 'length' | 'abort' = 'abort';
    this.#checkRequest(request);
    const ended = AbortSignal.any([signal, this.#closing.signal]);
    const pooled = await this.#pool.acquire(request.promptTokens, request.priority, ended);
    let run: SequenceRun | undefined;
    try {
      run = await this.#open(request, pooled);
      this.#runs.add(run);
      await run.prefill(ended);
      let lastMs = arrivedMs;
      for (let made = 0; made < request.maxTokens; made++) {
        const sampled = await run.next(ended);
        if (run.ends(sampled.id)) {
          outcome = 'stop';
          return { reason: 'stop', stopTokenId: sampled.id };
        }
        const nowMs = clock.monotonicMs();
        (made === 0 ? this.#firstToken : this.#interToken).observe((nowMs - lastMs) / 1000);
        lastMs = nowMs;
        this.#totals.generatedTokens++;
        yield [sampled];
      }
      outcome = 'length';
      return { reason: 'length' };
    } finally {
      if (run !== undefined) this.#runs.delete(run);
      pooled.tokens = pooled.sequence.contextTokens;
      this.#pool.release(pooled);
      this.#finished[outcome]++;
      this.#request.observe((clock.monotonicMs() - arrivedMs) / 1000);
    }
  }

  embed(tokens: readonly number[], signal: AbortSignal): Promise<number[]> {
    this.#checkIds(tokens);
    return this.#embedder.embed(tokens, AbortSignal.any([signal, this.#closing.signal]));
  }

  metrics(): EngineCoreMetrics {
    const used = [...this.#runs].reduce((sum, run) => sum + run.position, 0);
    return {
      running: this.#pool.running,
      waiting: this.#pool.waiting,
      kvCacheUsageRatio: used / (this.#options.sequences * this.info.contextLength),
      prefixCacheQueriesTotal: this.#totals.prefixQueries,
      prefixCacheHitsTotal: this.#totals.prefixHits,
      promptTokensTotal: this.#totals.promptTokens,
      generationTokensTotal: this.#totals.generatedTokens,
      preemptionsTotal: 0,
      stepsTotal: this.#stepCount(),
      finishedTotal: { ...this.#finished },
      timeToFirstTokenSeconds: this.#firstToken.snapshot(),
      interTokenLatencySeconds: this.#interToken.snapshot(),
      e2eRequestLatencySeconds: this.#request.snapshot(),
    };
  }

  async close(): Promise<void> {
    const reason = new PlatformError('shutting_down', 'the engine is being stopped');
    this.#closing.abort(reason);
    this.#pool.close(reason);
    await this.#embedder.close();
    await this.#native.context.dispose();
    await this.#native.model.dispose();
    await this.#native.llama.dispose();
  }

  /** Gives the sequence the state that the request starts from: what it shares with what the sequence holds. */
  async #open(request: GenerateRequest, pooled: PooledSequence<LlamaContextSequence>): Promise<SequenceRun> {
    const { promptTokens, jsonSchema } = request;
    // The last prompt token is always computed, for its logits give the first token of the answer.
    const reused = Math.min(commonPrefix(pooled.tokens, promptTokens), promptTokens.length - 1);
    const { sequence } = pooled;
    if (reused < sequence.nextTokenIndex) {
      const range = { start: reused, end: sequence.nextTokenIndex };
      await this.#gate.run(() => sequence.eraseContextTokenRanges([range]));
    }
    this.#totals.prefixQueries += promptTokens.length;
    this.#totals.prefixHits += reused;
    this.#totals.promptTokens += promptTokens.length;
    const library: LlamaLibrary = this.#native.api;
    const { model } = this.#native;
    return new SequenceRun({
      request,
      sequence,
      gate: this.#gate,
      reused,
      seed: request.sampling.seed ?? this.#options.drawSeed(),
      share: this.#share,
      endTokens: request.minTokens > 0 ? this.#allEndTokens() : [],
      isEnd: (id) => model.isEogToken(id as Token),
      tokenBytes: this.#tokenBytes,
      newBias: () => new library.TokenBias(model.tokenizer),
      grammarState:
        jsonSchema === undefined
          ? undefined
          : new library.LlamaGrammarEvaluationState({
              model,
              grammar: await this.#grammars.grammarFor(jsonSchema),
            }),
    });
  }

  #allEndTokens(): number[] {
    const { model } = this.#native;
    this.#endTokens ??= [...model.iterateAllTokens()].filter((token) => model.isEogToken(token));
    return this.#endTokens;
  }

  /** The native library ends the process on ids outside the vocabulary, so none ever gets there. */
  #checkIds(tokens: readonly number[]): void {
    for (const id of tokens) {
      if (Number.isInteger(id) && id >= 0 && id < this.info.vocabularySize) continue;
      throw new RangeError(`token id ${id} is outside the vocabulary of ${this.info.vocabularySize}`);
    }
  }

  #checkRequest({ promptTokens, maxTokens, stopTokenIds, sampling }: GenerateRequest): void {
    this.#checkIds(promptTokens);
    this.#checkIds(stopTokenIds);
    this.#checkIds(Object.keys(sampling.logitBias).map(Number));
    const { contextLength } = this.info;
    if (promptTokens.length === 0 || promptTokens.length + maxTokens > contextLength) {
      throw new PlatformError(
        'context_length_exceeded',
        `the prompt has ${promptTokens.length} tokens and the answer may have ${maxTokens}; the context has ${contextLength}`,
      );
    }
    if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
    if (this.#pool.full) {
      throw new PlatformError(
        'engine_full',
        `the engine is full: ${this.#pool.running} requests running, ${this.#pool.waiting} waiting`,
        { retryAfterS: 1 },
      );
    }
  }
}
