/**
 * Decides what each step of the pretend engine computes: continuous batching with chunked prefill, admission while there is room,
 * and preemption of the latest by recompute when blocks run out. The same calls give the same plans: it knows no clock and no
 * chance. The engine owns it, calls `plan`, lets the time of the step pass, and calls `complete`.
 */
import type { StepLoad } from '../../contract/engine-model.ts';
import { type BlockHolding, BlockPool, blockHashes } from './block-pool.ts';

export interface SchedulerLimits {
  maxNumSeqs: number;
  /** Tokens computed per step, prefill and decode together. */
  maxBatchedTokens: number;
  blockSize: number;
  numBlocks: number;
  /** Requests that may wait. */
  maxWaiting: number;
}

/** One sequence as the scheduler sees it. The engine appends to `tokens` between steps. */
export interface ScheduledSequence {
  /** Prompt and generated tokens. */
  readonly tokens: number[];
  readonly promptLength: number;
  /** Lower is served first. */
  readonly priority: number;
  /** Tokens whose KV entries exist. */
  computed: number;
  /** A held sequence keeps its place and its blocks, but is not computed. */
  held: boolean;
  holding: BlockHolding;
  hashes: number[];
}

export interface StepPlan<S extends ScheduledSequence> extends StepLoad {
  /** What is computed; `chunk` tokens each. A sequence whose last token is among them yields one token. */
  work: { sequence: S; chunk: number; yieldsToken: boolean }[];
  admitted: S[];
  preempted: S[];
}

export class BatchScheduler<S extends ScheduledSequence> {
  readonly limits: SchedulerLimits;
  readonly pool: BlockPool;
  readonly running: S[] = [];
  readonly waiting: S[] = [];
  preemptionsTotal = 0;
  prefixQueriesTotal = 0;
  prefixHitsTotal = 0;

  constructor(limits: SchedulerLimits) {
    this.limits = limits;
    this.pool = new BlockPool(limits.numBlocks);
  }

  get canAccept(): boolean {
    const placeFree = this.waiting.length === 0 && this.running.length < this.limits.maxNumSeqs;
    return placeFree || this.waiting.length < this.limits.maxWaiting;
  }

  /** Puts a sequence behind those of its priority. */
  add(sequence: S): void {
    const behind = this.waiting.findIndex((other) => other.priority > sequence.priority);
    this.waiting.splice(behind < 0 ? this.waiting.length : behind, 0, sequence);
  }

  /** Takes a sequence out, wherever it is; its blocks are free at once. */
  remove(sequence: S): void {
    for (const list of [this.running, this.waiting]) {
      const index = list.indexOf(sequence);
      if (index >= 0) list.splice(index, 1);
    }
    this.pool.release(sequence.holding);
  }

  /** @param preemptions sequences to preempt beyond need, the latest first, the last one spared (a fault). */
  plan(preemptions = 0): StepPlan<S> {
    const plan: StepPlan<S> = {
      work: [],
      admitted: [],
      preempted: [],
      prefillTokens: 0,
      decodeBatch: 0,
      decodeContext: 0,
    };
    for (let i = 0; i < preemptions && this.running.length > 1; i++) this.#preemptLatest(plan);
    let budget = this.#planRunning(plan, this.limits.maxBatchedTokens);
    if (plan.preempted.length === 0) budget = this.#admit(plan, budget);
    return plan;
  }

  /** Books the work of a plan as done. Sequences that were removed meanwhile are skipped. */
  complete(plan: StepPlan<S>): void {
    const live = new Set(this.running);
    for (const { sequence, chunk } of plan.work) {
      if (!live.has(sequence)) continue;
      const before = Math.floor(sequence.computed / this.limits.blockSize);
      sequence.computed += chunk;
      const after = Math.floor(sequence.computed / this.limits.blockSize);
      for (let block = before; block < after; block++) {
        this.pool.publish(sequence.holding, sequence.hashes[block] as number);
      }
    }
  }

  #planRunning(plan: StepPlan<S>, budgetTokens: number): number {
    let budget = budgetTokens;
    for (const sequence of [...this.running]) {
      if (sequence.held || plan.preempted.includes(sequence)) continue;
      const chunk = Math.min(sequence.tokens.length - sequence.computed, budget);
      if (chunk <= 0) continue;
      if (!this.#makeRoom(plan, sequence, chunk)) continue;
      this.#schedule(plan, sequence, chunk);
      budget -= chunk;
    }
    return budget;
  }

  /** Preempts the latest until `sequence` has its blocks; false when it was preempted itself. */
  #makeRoom(plan: StepPlan<S>, sequence: S, chunk: number): boolean {
    while (this.#blocksNeeded(sequence, chunk) > this.pool.available) {
      if (this.#preemptLatest(plan) === sequence) return false;
    }
    return true;
  }

  #blocksNeeded(sequence: S, chunk: number): number {
    const { private: own, shared } = sequence.holding;
    return Math.ceil((sequence.computed + chunk) / this.limits.blockSize) - own - shared.length;
  }

  #preemptLatest(plan: StepPlan<S>): S | undefined {
    const latest = this.running.pop();
    if (latest === undefined) return undefined;
    this.pool.release(latest.holding);
    latest.computed = 0;
    this.waiting.unshift(latest);
    this.preemptionsTotal++;
    plan.preempted.push(latest);
    const planned = plan.work.findIndex(({ sequence }) => sequence === latest);
    if (planned >= 0) this.#unschedule(plan, planned);
    return latest;
  }

  #admit(plan: StepPlan<S>, budgetTokens: number): number {
    let budget = budgetTokens;
    while (this.running.length < this.limits.maxNumSeqs && budget > 0) {
      const sequence = this.waiting[0];
      if (sequence === undefined) break;
      const cached = this.#cachedBlocks(sequence);
      const cachedTokens = cached.length * this.limits.blockSize;
      const chunk = Math.min(sequence.tokens.length - cachedTokens, budget);
      const blocks = Math.ceil((cachedTokens + chunk) / this.limits.blockSize) - cached.length;
      // First come, first served: what does not fit holds the queue, as in the engines.
      if (blocks + this.pool.costOfSharing(cached) > this.pool.available) break;
      this.waiting.shift();
      this.running.push(sequence);
      this.pool.share(sequence.holding, cached);
      sequence.computed = cachedTokens;
      this.prefixQueriesTotal += sequence.tokens.length;
      this.prefixHitsTotal += cachedTokens;
      plan.admitted.push(sequence);
      this.#schedule(plan, sequence, chunk);
      budget -= chunk;
    }
    return budget;
  }

  /** Leading cached blocks; never all of the sequence, because its last token must be computed to go on. */
  #cachedBlocks(sequence: S): number[] {
    const hashes = blockHashes(sequence.tokens, this.limits.blockSize, sequence.hashes);
    const usable = Math.floor((sequence.tokens.length - 1) / this.limits.blockSize);
    return hashes.slice(0, Math.min(usable, this.pool.cachedPrefix(hashes)));
  }

  #schedule(plan: StepPlan<S>, sequence: S, chunk: number): void {
    blockHashes(sequence.tokens, this.limits.blockSize, sequence.hashes);
    const needed = this.#blocksNeeded(sequence, chunk);
    if (needed > 0) this.pool.allocate(sequence.holding, needed);
    const yieldsToken = sequence.computed + chunk === sequence.tokens.length;
    plan.work.push({ sequence, chunk, yieldsToken });
    this.#weigh(plan, sequence, chunk, 1);
  }

  #unschedule(plan: StepPlan<S>, index: number): void {
    const [removed] = plan.work.splice(index, 1);
    if (removed !== undefined) this.#weigh(plan, removed.sequence, removed.chunk, -1);
  }

  #weigh(plan: StepPlan<S>, sequence: S, chunk: number, sign: 1 | -1): void {
    if (chunk === 1 && sequence.tokens.length > sequence.promptLength) {
      plan.decodeBatch += sign;
      plan.decodeContext += sign * sequence.tokens.length;
    } else {
      plan.prefillTokens += sign * chunk;
    }
  }
}
