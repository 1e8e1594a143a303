/**
 * An engine in virtual time: the batch scheduler, KV blocks and step times of the simulator, without process and sockets. It
 * answers 503 or 500 at once when told to, runs slower when told to, and tells its gateway of first tokens and ends.
 */

import type { EventHeap } from '../../../src/assembly/recovery-simulation/event-heap.ts';
import { stepMs } from '../../../src/contract/engine-model.ts';
import { DEFAULT_STEP_COSTS } from '../../../src/simulator/options.ts';
import { BatchScheduler, type ScheduledSequence } from '../../../src/simulator/scheduling/batch-scheduler.ts';

export type Mood = 'well' | 'busy-503' | 'error-500';

export interface ReplicaCall {
  prompt: readonly number[];
  answerTokens: number;
  onFirstToken(): void;
  onEnd(end: 'completed' | 'busy' | 'failed'): void;
}

interface Running extends ScheduledSequence {
  call: ReplicaCall;
}

export interface Engine {
  /** KV blocks of 16 tokens. */
  numBlocks: number;
  maxNumSeqs: number;
}

/** How long a refusal takes. */
const REFUSAL_MS = 4;

export class PretendReplica {
  readonly #heap: EventHeap;
  readonly #clock: { nowMs: number };
  readonly #scheduler: BatchScheduler<Running>;
  #stepping = false;
  mood: Mood = 'well';
  /** Times as long as usual. */
  slowness = 1;
  calls = 0;

  constructor(heap: EventHeap, clock: { nowMs: number }, { numBlocks, maxNumSeqs }: Engine) {
    this.#heap = heap;
    this.#clock = clock;
    this.#scheduler = new BatchScheduler<Running>({
      maxNumSeqs,
      maxBatchedTokens: 2_048,
      blockSize: 16,
      numBlocks,
      maxWaiting: 10_000,
    });
  }

  get cacheHitRatio(): number {
    return this.#scheduler.prefixHitsTotal / Math.max(1, this.#scheduler.prefixQueriesTotal);
  }

  send(call: ReplicaCall): void {
    this.calls++;
    const { mood } = this;
    if (mood !== 'well') {
      this.#heap.plan(this.#clock.nowMs + REFUSAL_MS, () =>
        call.onEnd(mood === 'busy-503' ? 'busy' : 'failed'),
      );
      return;
    }
    this.#scheduler.add({ ...scheduledSequence(call.prompt, 0), call });
    this.#keepStepping();
  }

  #keepStepping(): void {
    if (this.#stepping) return;
    const plan = this.#scheduler.plan();
    if (plan.work.length === 0) return;
    this.#stepping = true;
    const durationMs = stepMs(DEFAULT_STEP_COSTS, plan) * this.slowness;
    this.#heap.plan(this.#clock.nowMs + durationMs, () => {
      this.#stepping = false;
      this.#scheduler.complete(plan);
      for (const { sequence, yieldsToken } of plan.work) if (yieldsToken) this.#token(sequence);
      this.#keepStepping();
    });
  }

  #token(sequence: Running): void {
    const { call, tokens, promptLength } = sequence;
    tokens.push(tokens.length);
    if (tokens.length === promptLength + 1) call.onFirstToken();
    if (tokens.length - promptLength < call.answerTokens) return;
    this.#scheduler.remove(sequence);
    call.onEnd('completed');
  }
}

function scheduledSequence(prompt: readonly number[], priority: number): ScheduledSequence {
  return {
    tokens: [...prompt],
    promptLength: prompt.length,
    priority,
    computed: 0,
    held: false,
    holding: { private: 0, shared: [] },
    hashes: [],
  };
}
