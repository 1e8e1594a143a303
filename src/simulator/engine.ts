/**
 * The pretend engine: `EngineCore` over the batch scheduler, the step-time model and the pretend language model. One timer serves all
 * sequences: it fires at the end of a step, hands each sequence its token and starts the next step. A step that ended late
 * does not delay those after it, as long as the lag stays below `LAG_MAX_MS`.
 */
import { createRandom, lognormal, mix32, type Random } from '../base/random.ts';
import { type StepCosts, type StepLoad, stepMs } from '../contract/engine-model.ts';
import { PlatformError } from '../contract/errors.ts';
import type {
  ChatTurn,
  CoreFinish,
  EngineCore,
  EngineCoreInfo,
  EngineCoreMetrics,
  GeneratedToken,
  GenerateRequest,
  RenderOptions,
} from '../contract/ports/engine-core.ts';
import {
  FIRST_TOKEN_BOUNDS,
  INTER_TOKEN_BOUNDS,
  LatencyHistogram,
  REQUEST_BOUNDS,
} from '../wire/vllm/latency-histogram.ts';
import { adaptedCore } from './adapted-core.ts';
import { renderChat } from './chat-template.ts';
import { classifyTokens } from './classification.ts';
import { embedTokens } from './embedding.ts';
import type { ArmedFault, FaultBoard } from './faults/fault-board.ts';
import { RequestFaults } from './faults/request-faults.ts';
import { BatchScheduler, type SchedulerLimits, type StepPlan } from './scheduling/batch-scheduler.ts';
import { type AnswerFaults, EngineSequence } from './sequence.ts';
import { decode, encode, tokenName, VOCABULARY_SIZE } from './tokenizer.ts';

/** Beyond this a late step is late for good: after a pause of the process there is no burst of steps. */
const LAG_MAX_MS = 50;

/** The one timer of the engine, so that tests own the time. */
export interface StepTimer {
  nowMs(): number;
  /** Calls back once, after `delayMs` or a little later; returns how to call it off. */
  schedule(delayMs: number, run: () => void): () => void;
}

export interface SimulatedEngineOptions {
  model: string;
  contextLength: number;
  /** The same seed gives the same model: replicas of one model share it. */
  modelSeed: number;
  /** Chance of this process: noise of step times, and seeds for requests that bring none. */
  seed: number;
  meanTokens: number;
  limits: SchedulerLimits;
  costs: StepCosts;
  /** Sigma of the lognormal factor on each step. */
  noiseSigma: number;
  /** Steps run so many times faster. */
  speed: number;
  timer: StepTimer;
  faults: FaultBoard;
  /** Ends the process as a CUDA out-of-memory error does. */
  onOutOfMemory(): void;
  /** Told of each step, with the time that it takes. */
  onStep?(load: StepLoad, durationMs: number): void;
  /** What faults can do to the HTTP answer of the request whose `generate` is being called. */
  currentAnswer(): AnswerFaults | undefined;
}

export class SimulatedEngine implements EngineCore {
  readonly info: EngineCoreInfo;
  readonly #options: SimulatedEngineOptions;
  readonly #scheduler: BatchScheduler<EngineSequence>;
  readonly #random: Random;
  readonly #requestFaults: RequestFaults;
  readonly #live = new Set<EngineSequence>();
  readonly #ttft = new LatencyHistogram(FIRST_TOKEN_BOUNDS);
  readonly #itl = new LatencyHistogram(INTER_TOKEN_BOUNDS);
  readonly #e2e = new LatencyHistogram(REQUEST_BOUNDS);
  readonly #finished = { stop: 0, length: 0, abort: 0 };
  #requests = 0;
  #promptTokens = 0;
  #generatedTokens = 0;
  #corruptedTotal = 0;
  #steps = 0;
  /** When the last step ended by plan, which is before the timer said so. */
  #stepEndedAtMs = 0;
  #cancelStep: (() => void) | null = null;
  #closed = false;

  constructor(options: SimulatedEngineOptions) {
    this.#options = options;
    this.#scheduler = new BatchScheduler(options.limits);
    this.#random = createRandom(mix32(options.seed, 0x73746570));
    this.#requestFaults = new RequestFaults(options.faults);
    this.info = {
      model: options.model,
      ownedBy: 'autoglm-simulator',
      contextLength: options.contextLength,
      vocabularySize: VOCABULARY_SIZE,
      canEmbed: true,
      canCallTools: true,
      canReason: true,
    };
  }

  tokenize(text: string, { parseSpecial }: { parseSpecial: boolean }): number[] {
    return encode(text, parseSpecial);
  }

  detokenize(tokens: readonly number[]): Uint8Array {
    return decode(tokens);
  }

  tokenText(id: number): string {
    return tokenName(id);
  }

  renderChat(messages: readonly ChatTurn[], options: RenderOptions): number[] {
    return renderChat(messages, options);
  }

  async embed(tokens: readonly number[], signal: AbortSignal): Promise<number[]> {
    await this.#readText(tokens, signal);
    return embedTokens(this.#options.modelSeed, tokens);
  }

  async classify(
    tokens: readonly number[],
    signal: AbortSignal,
  ): Promise<{ label: string; probs: number[] }> {
    await this.#readText(tokens, signal);
    return classifyTokens(this.#options.modelSeed, tokens);
  }

  /** Rejects when whoever asked has left. */
  async #readText(tokens: readonly number[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#requestFaults.meetText(tokens))
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    this.#promptTokens += tokens.length;
  }

  adapted(adapter: string): EngineCore {
    return adaptedCore(this, adapter);
  }

  canAccept(): boolean {
    return this.#scheduler.canAccept && !this.#closed;
  }

  async *generate(
    request: GenerateRequest,
    signal: AbortSignal,
  ): AsyncGenerator<GeneratedToken[], CoreFinish, void> {
    signal.throwIfAborted();
    if (!this.canAccept()) {
      throw new PlatformError(
        'saturated',
        `${this.#scheduler.waiting.length} requests wait; the queue takes ${this.#options.limits.maxWaiting}`,
        { retryAfterS: 1 },
      );
    }
    if (request.maxTokens <= 0) return { reason: 'length' };
    const sequence = this.#submit(request);
    const onAbort = () => this.#drop(sequence, signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        const tokens = sequence.takePending();
        if (tokens.length > 0) yield tokens;
        else if (sequence.error !== null) throw sequence.error;
        else if (sequence.finish !== null) return sequence.finish;
        else await sequence.changed();
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#drop(sequence, new PlatformError('client_closed', 'the reader left'));
    }
  }

  #submit(request: GenerateRequest): EngineSequence {
    const { modelSeed, meanTokens, contextLength, seed, timer, currentAnswer } = this.#options;
    this.#requests++;
    const sequence = new EngineSequence(
      request,
      {
        ordinal: this.#requests,
        nowMs: timer.nowMs(),
        seed: request.sampling.seed ?? mix32(seed, this.#requests, 0x72657173),
        answer: currentAnswer(),
      },
      { modelSeed: seedWith(modelSeed, request.adapter), meanTokens, contextLength },
    );
    this.#live.add(sequence);
    this.#scheduler.add(sequence);
    this.kick();
    return sequence;
  }

  /** Takes a sequence out that has not ended; its slot is free at once. */
  #drop(sequence: EngineSequence, reason: unknown): void {
    if (!this.#live.delete(sequence)) return;
    this.#scheduler.remove(sequence);
    this.#finished.abort++;
    sequence.error = reason;
    sequence.wake();
    this.kick();
  }

  /** Starts a step when there is work and none runs. Called whenever something changed, by faults too. */
  kick(): void {
    if (this.#cancelStep !== null || this.#closed || this.#options.faults.active('hang') !== undefined)
      return;
    const storm = this.#options.faults.active('preemption-storm');
    const plan = this.#scheduler.plan(storm?.perStep ?? 0);
    for (const sequence of plan.admitted) this.#requestFaults.admit(sequence);
    if (plan.work.length === 0) return;
    const { timer } = this.#options;
    const startsAtMs = Math.max(this.#stepEndedAtMs, timer.nowMs() - LAG_MAX_MS);
    const wasIdle = plan.work.length === plan.admitted.length;
    const endsAtMs = (wasIdle ? timer.nowMs() : startsAtMs) + this.#durationMs(plan);
    this.#cancelStep = timer.schedule(endsAtMs - timer.nowMs(), () => {
      this.#cancelStep = null;
      this.#stepEndedAtMs = endsAtMs;
      this.#endStep(plan);
    });
  }

  #durationMs(plan: StepPlan<EngineSequence>): number {
    const { costs, speed, noiseSigma, faults, onOutOfMemory, onStep } = this.#options;
    const memory = faults.active('out-of-memory');
    if (memory !== undefined && plan.prefillTokens + plan.decodeContext > memory.tokensOver) onOutOfMemory();
    const noise = lognormal(noiseSigma, this.#random.next(), this.#random.next());
    const durationMs = (stepMs(costs, plan) * noise * (faults.active('slow')?.factor ?? 1)) / speed;
    onStep?.(plan, durationMs);
    return durationMs;
  }

  #endStep(plan: StepPlan<EngineSequence>): void {
    const { timer, faults } = this.#options;
    // A hang that came during the step freezes it: the plan is dropped, and made anew when the hang ends.
    if (faults.active('hang') !== undefined) return;
    const nowMs = timer.nowMs();
    const corrupt = faults.active('corrupt-text') !== undefined;
    this.#steps++;
    this.#scheduler.complete(plan);
    let tokens = 0;
    for (const { sequence, yieldsToken } of plan.work) {
      if (!yieldsToken || sequence.held || !this.#live.has(sequence)) continue;
      this.#giveToken(sequence, nowMs, corrupt);
      tokens++;
    }
    this.#generatedTokens += tokens;
    faults.countTokens(tokens);
    this.kick();
  }

  #giveToken(sequence: EngineSequence, nowMs: number, corrupt: boolean): void {
    const first = sequence.generated === 0;
    if (first) {
      this.#ttft.observe((nowMs - sequence.arrivedAtMs) / 1000);
      this.#promptTokens += sequence.promptLength;
    } else {
      this.#itl.observe((nowMs - sequence.lastTokenAtMs) / 1000);
    }
    if (sequence.faults.length > 0 && this.#requestFaults.beforeToken(sequence)) return;
    sequence.step(nowMs, corrupt);
    if (corrupt) this.#corruptedTotal++;
    if (sequence.finish === null) return;
    this.#live.delete(sequence);
    this.#scheduler.remove(sequence);
    this.#finished[sequence.finish.reason]++;
    this.#e2e.observe((nowMs - sequence.arrivedAtMs) / 1000);
  }

  /** A fault was armed: requests that run already may meet it. */
  reconsiderFaults(armed: ArmedFault): void {
    this.#requestFaults.reconsider(armed, [...this.#scheduler.running]);
    this.kick();
  }

  metrics(): EngineCoreMetrics {
    const scheduler = this.#scheduler;
    return {
      running: scheduler.running.length,
      waiting: scheduler.waiting.length,
      kvCacheUsageRatio: scheduler.pool.usageRatio,
      prefixCacheQueriesTotal: scheduler.prefixQueriesTotal,
      prefixCacheHitsTotal: scheduler.prefixHitsTotal,
      promptTokensTotal: this.#promptTokens,
      generationTokensTotal: this.#generatedTokens,
      preemptionsTotal: scheduler.preemptionsTotal,
      stepsTotal: this.#steps,
      finishedTotal: { ...this.#finished },
      timeToFirstTokenSeconds: this.#ttft.snapshot(),
      interTokenLatencySeconds: this.#itl.snapshot(),
      e2eRequestLatencySeconds: this.#e2e.snapshot(),
    };
  }

  clearCache(): boolean {
    return this.#scheduler.pool.clear();
  }

  /** Tokens given out while the text was corrupt. */
  get corruptedTokensTotal(): number {
    return this.#corruptedTotal;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelStep?.();
    this.#cancelStep = null;
    for (const sequence of [...this.#live]) {
      this.#drop(sequence, new PlatformError('shutting_down', 'the engine is closing'));
    }
  }
}

/** An adapter makes another model of it: other text for the same prompt, the same on every replica. */
function seedWith(modelSeed: number, adapter: string | undefined): number {
  if (adapter === undefined) return modelSeed;
  return mix32(modelSeed, ...Buffer.from(adapter, 'utf8'));
}
