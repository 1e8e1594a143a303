/**
 * One engine in a plan: continuous batching with chunked prefill, admission in the order of arrival while cache blocks and places
 * are free, and preemption of the latest by recompute. It follows the rules of the simulator's scheduler, without contents of
 * tokens, so that a plan can run millions of steps; a test holds the two to the same steps.
 */
import { type StepCosts, type StepLoad, stepMs } from '../../contract/engine-model.ts';

export const BLOCK_TOKENS = 16;

export interface EngineShape {
  costs: StepCosts;
  maxNumSeqs: number;
  maxBatchedTokens: number;
  kvBlocks: number;
}

export interface PlannedSequence {
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly arrivedMs: number;
  /** Tokens of the prompt that the prefix cache has: they take room, but no time. */
  readonly cachedTokens: number;
  /** Whether its times are part of the result. */
  readonly isMeasured: boolean;
  admittedMs: number;
  /** Tokens whose cache entries exist. */
  computed: number;
  generated: number;
  blocks: number;
  chunk: number;
  firstTokenMs: number;
  lastTokenMs: number;
}

export interface EngineListener {
  /** @param gapMs since the token before it; for the first one, since arrival. */
  onToken(sequence: PlannedSequence, gapMs: number): void;
  onFinished(sequence: PlannedSequence, nowMs: number): void;
}

export class PlannedEngine {
  readonly #shape: EngineShape;
  readonly #listener: EngineListener;
  readonly running: PlannedSequence[] = [];
  readonly #waiting: PlannedSequence[] = [];
  /** Waiting sequences before it are gone; moved only when the list is cut, so that taking the first one is cheap. */
  #waitingFrom = 0;
  #freeBlocks: number;
  preemptions = 0;
  steps = 0;
  /** Time spent computing. */
  busyMs = 0;

  constructor(shape: EngineShape, listener: EngineListener) {
    this.#shape = shape;
    this.#listener = listener;
    this.#freeBlocks = shape.kvBlocks;
  }

  get inFlight(): number {
    return this.running.length + this.#waiting.length - this.#waitingFrom;
  }

  get usedShare(): number {
    return 1 - this.#freeBlocks / this.#shape.kvBlocks;
  }

  add(sequence: PlannedSequence): void {
    this.#waiting.push(sequence);
  }

  /** Plans the next step. Null: there is nothing to do. */
  plan(nowMs: number): (StepLoad & { durationMs: number }) | null {
    const load: StepLoad = { prefillTokens: 0, decodeBatch: 0, decodeContext: 0 };
    const preempted = this.preemptions;
    const budget = this.#planRunning(load, this.#shape.maxBatchedTokens);
    if (this.preemptions === preempted) this.#admit(load, budget, nowMs);
    if (load.prefillTokens === 0 && load.decodeBatch === 0) return null;
    const durationMs = stepMs(this.#shape.costs, load);
    this.steps++;
    this.busyMs += durationMs;
    return { ...load, durationMs };
  }

  /** Books the planned step as done. */
  complete(nowMs: number): void {
    let kept = 0;
    for (const sequence of this.running) {
      sequence.computed += sequence.chunk;
      const yieldsToken =
        sequence.chunk > 0 && sequence.computed === sequence.promptTokens + sequence.generated;
      sequence.chunk = 0;
      if (yieldsToken && this.#yield(sequence, nowMs)) continue;
      this.running[kept++] = sequence;
    }
    this.running.length = kept;
  }

  /** True when it was the last token. */
  #yield(sequence: PlannedSequence, nowMs: number): boolean {
    const sinceMs = sequence.generated === 0 ? sequence.arrivedMs : sequence.lastTokenMs;
    if (sequence.generated === 0) sequence.firstTokenMs = nowMs;
    sequence.generated++;
    sequence.lastTokenMs = nowMs;
    this.#listener.onToken(sequence, nowMs - sinceMs);
    if (sequence.generated < sequence.outputTokens) return false;
    this.#freeBlocks += sequence.blocks;
    sequence.blocks = 0;
    this.#listener.onFinished(sequence, nowMs);
    return true;
  }

  #planRunning(load: StepLoad, budgetTokens: number): number {
    let budget = budgetTokens;
    for (let at = 0; at < this.running.length; at++) {
      const sequence = this.running[at]!;
      const chunk = Math.min(sequence.promptTokens + sequence.generated - sequence.computed, budget);
      if (chunk <= 0) continue;
      if (!this.#makeRoom(sequence, chunk)) break;
      this.#schedule(load, sequence, chunk);
      budget -= chunk;
    }
    return budget;
  }

  #blocksNeeded({ computed, blocks }: PlannedSequence, chunk: number): number {
    return Math.ceil((computed + chunk) / BLOCK_TOKENS) - blocks;
  }

  /** Preempts the latest until `sequence` has its blocks; false when it was preempted itself, and with it all after it. */
  #makeRoom(sequence: PlannedSequence, chunk: number): boolean {
    while (this.#blocksNeeded(sequence, chunk) > this.#freeBlocks)
      if (this.#preemptLatest() === sequence) return false;
    return true;
  }

  #preemptLatest(): PlannedSequence | undefined {
    const latest = this.running.pop();
    if (latest === undefined) return undefined;
    this.#freeBlocks += latest.blocks;
    latest.blocks = 0;
    latest.computed = 0;
    this.preemptions++;
    if (this.#waitingFrom > 0) this.#waiting[--this.#waitingFrom] = latest;
    else this.#waiting.unshift(latest);
    return latest;
  }

  #admit(load: StepLoad, budgetTokens: number, nowMs: number): void {
    let budget = budgetTokens;
    while (this.running.length < this.#shape.maxNumSeqs && budget > 0) {
      const sequence = this.#waiting[this.#waitingFrom];
      if (sequence === undefined) break;
      const { promptTokens, generated, cachedTokens } = sequence;
      const chunk = Math.min(promptTokens + generated - cachedTokens, budget);
      // First come, first served: what does not fit holds the queue, as in the engines.
      if (Math.ceil((cachedTokens + chunk) / BLOCK_TOKENS) > this.#freeBlocks) break;
      this.#takeFirstWaiting();
      this.running.push(sequence);
      sequence.computed = cachedTokens;
      sequence.admittedMs = nowMs;
      this.#schedule(load, sequence, chunk);
      budget -= chunk;
    }
  }

  #takeFirstWaiting(): void {
    this.#waitingFrom++;
    if (this.#waitingFrom * 2 < this.#waiting.length) return;
    this.#waiting.splice(0, this.#waitingFrom);
    this.#waitingFrom = 0;
  }

  #schedule(load: StepLoad, sequence: PlannedSequence, chunk: number): void {
    const needed = this.#blocksNeeded(sequence, chunk);
    if (needed > 0) {
      sequence.blocks += needed;
      this.#freeBlocks -= needed;
    }
    sequence.chunk = chunk;
    if (chunk === 1 && sequence.generated > 0) {
      load.decodeBatch++;
      load.decodeContext += sequence.promptTokens + sequence.generated;
    } else load.prefillTokens += chunk;
  }
}
