/**
 * One request inside the pretend engine: what the scheduler sees of it, the model's state, and the hand-over of its tokens from
 * the step loop to the generator that the HTTP side reads. Tokens wait here until they are read; there are never more than
 * `maxTokens`, so the wait is bounded.
 */
import { mix32 } from '../base/random.ts';
import type { CoreFinish, GeneratedToken, GenerateRequest } from '../contract/ports/engine-core.ts';
import type { ArmedFault } from './faults/fault-board.ts';
import { withLogprobs } from './logprobs.ts';
import { advance, advanceAll, initialState, type ModelState, nextToken } from './next-token.ts';
import type { ScheduledSequence } from './scheduling/batch-scheduler.ts';
import type { BlockHolding } from './scheduling/block-pool.ts';
import { scriptedText } from './scripted-text.ts';
import { END_OF_TURN, encode, tokenBytes } from './tokenizer.ts';

export interface SequenceModel {
  modelSeed: number;
  meanTokens: number;
  contextLength: number;
}

/** What a fault can do to the HTTP answer of the request; set by the HTTP side, absent in tests of the engine alone. */
export interface AnswerFaults {
  stall(): void;
  truncate(how: 'reset' | 'mid-event' | 'end'): void;
}

const EXCLAMATION = 0x21;

export class EngineSequence implements ScheduledSequence {
  readonly request: GenerateRequest;
  readonly tokens: number[];
  readonly promptLength: number;
  readonly priority: number;
  computed = 0;
  held = false;
  holding: BlockHolding = { private: 0, shared: [] };
  hashes: number[] = [];

  readonly ordinal: number;
  readonly arrivedAtMs: number;
  readonly answer: AnswerFaults | undefined;
  /** Faults that wait for a token of this request. */
  faults: ArmedFault[] = [];
  lastTokenAtMs = 0;
  finish: CoreFinish | null = null;
  /** Set when the sequence was taken out before its end. */
  error: unknown = null;

  readonly #model: SequenceModel;
  readonly #seed: number;
  /** The rest of what is written by plan, last token first. */
  readonly #script: number[];
  /** What comes after it: nothing, or free text. */
  readonly #endsWithScript: boolean;
  #state: ModelState;
  #pending: GeneratedToken[] = [];
  #wake: (() => void) | null = null;

  /** @param seed for temperature above 0: the request's, or one that the process chose. */
  constructor(
    request: GenerateRequest,
    at: { ordinal: number; nowMs: number; seed: number; answer: AnswerFaults | undefined },
    model: SequenceModel,
  ) {
    this.request = request;
    this.tokens = [...request.promptTokens];
    this.promptLength = this.tokens.length;
    this.priority = request.priority;
    this.ordinal = at.ordinal;
    this.arrivedAtMs = at.nowMs;
    this.answer = at.answer;
    this.#model = model;
    const { temperature, topK } = request.sampling;
    this.#seed = temperature === 0 || topK === 1 ? 0 : at.seed | 1;
    this.#state = advanceAll(initialState(model.modelSeed), this.tokens);
    const script = scriptedText(request, () => this.#scriptSeed());
    this.#script = script === null ? [] : this.#tokensOf(script.text);
    this.#endsWithScript = script?.whole === true;
  }

  get generated(): number {
    return this.tokens.length - this.promptLength;
  }

  /** The model chooses the next token; it is handed over, or ends the sequence. */
  step(nowMs: number, corrupt: boolean): void {
    const token = corrupt ? EXCLAMATION : this.#choose();
    const { stopTokenIds, minTokens } = this.request;
    const ends =
      token === END_OF_TURN || (this.generated >= minTokens && !corrupt && stopTokenIds.includes(token));
    if (ends) {
      this.finish = { reason: 'stop', stopTokenId: token };
    } else {
      this.#pending.push(this.#describe(token));
      this.tokens.push(token);
      this.#state = advance(this.#state, token);
      this.lastTokenAtMs = nowMs;
      if (this.#isFull()) this.finish = { reason: 'length' };
    }
    this.wake();
  }

  /** Depends on the prompt of the request alone, not on what another replica has generated of the answer. */
  #scriptSeed(): number {
    const prompt = this.tokens.slice(0, this.tokens.length - (this.request.generatedPrefix ?? 0));
    return mix32(advanceAll(initialState(this.#model.modelSeed), prompt).hash, this.#seed);
  }

  /** Last token first, without what another replica has generated. */
  #tokensOf(text: string): number[] {
    return encode(text, false)
      .slice(this.request.generatedPrefix ?? 0)
      .reverse();
  }

  #choose(): number {
    const scripted = this.#script.pop();
    if (scripted !== undefined) return scripted;
    if (this.#endsWithScript) return END_OF_TURN;
    const { ignoreEos, minTokens } = this.request;
    return nextToken(this.#state, {
      meanTokens: this.#model.meanTokens,
      mayEnd: !ignoreEos && this.generated >= minTokens,
      noise: this.#seed === 0 ? 0 : mix32(this.#seed, this.tokens.length) | 1,
    });
  }

  #describe(token: number): GeneratedToken {
    const { topLogprobs } = this.request;
    if (topLogprobs === undefined) return { id: token, bytes: tokenBytes(token) };
    return withLogprobs(this.#state.hash, token, topLogprobs);
  }

  #isFull(): boolean {
    return this.generated >= this.request.maxTokens || this.tokens.length >= this.#model.contextLength;
  }

  /** The tokens that nobody has read yet. */
  takePending(): GeneratedToken[] {
    const tokens = this.#pending;
    this.#pending = [];
    return tokens;
  }

  /** Resolves when there is something to read: tokens, the end or an error. One reader at a time. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}
