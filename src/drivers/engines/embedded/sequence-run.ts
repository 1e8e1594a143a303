/**
 * One request on its sequence: the prompt in pieces, then token after token. Holds all that changes while a request runs.
 * An abort takes effect between two native evaluations, each of which is short.
 */
import type { LlamaContextSequence, LlamaGrammarEvaluationState, Token, TokenBias } from 'node-llama-cpp';
import { PlatformError } from '../../../contract/errors.ts';
import type { GeneratedToken, GenerateRequest, TokenLogprob } from '../../../contract/ports/engine-core.ts';
import type { PrefillShare } from './prefill-share.ts';
import { evaluateOptions } from './sampling-options.ts';
import type { StepGate } from './step-gate.ts';

export interface SequenceRunOptions {
  request: GenerateRequest;
  sequence: LlamaContextSequence;
  gate: StepGate;
  /** Prompt tokens that the sequence holds already. */
  reused: number;
  seed: number;
  share: PrefillShare;
  /** Needed only with `minTokens`. */
  endTokens: readonly number[];
  isEnd(id: number): boolean;
  tokenBytes(id: number): Uint8Array;
  newBias(): TokenBias;
  grammarState: LlamaGrammarEvaluationState | undefined;
}

export class SequenceRun {
  readonly #options: SequenceRunOptions;
  /** Prompt and answer so far. */
  readonly #tokens: number[];
  readonly #generatedCounts = new Map<number, number>();
  #generated = 0;
  /** Tokens that the sequence does not hold yet. */
  #pending: number[];

  constructor(options: SequenceRunOptions) {
    const { promptTokens, generatedPrefix = 0 } = options.request;
    this.#options = options;
    this.#tokens = [...promptTokens];
    this.#pending = promptTokens.slice(options.reused);
    for (const id of generatedPrefix > 0 ? promptTokens.slice(-generatedPrefix) : []) this.#count(id);
  }

  /** Tokens of prompt and answer so far. */
  get position(): number {
    return this.#tokens.length;
  }

  /** Computes the prompt but for its last token. */
  async prefill(signal: AbortSignal): Promise<void> {
    const { sequence, share, gate } = this.#options;
    await share.during(async () => {
      while (this.#pending.length > 1) {
        signal.throwIfAborted();
        // Taken when the round begins, for only then it is known who else is at a prompt.
        await gate.run(() => {
          const tokens = this.#pending.splice(0, Math.min(share.pieceTokens, this.#pending.length - 1));
          return sequence.evaluateWithoutGeneratingNewTokens(tokens as Token[]);
        });
      }
    });
    signal.throwIfAborted();
  }

  /** Computes the last token and samples the next one. */
  async next(signal: AbortSignal): Promise<GeneratedToken> {
    const { request, sequence, grammarState, gate } = this.#options;
    signal.throwIfAborted();
    const top = request.topLogprobs;
    const steps = sequence.evaluateWithMetadata(
      this.#pending as Token[],
      { confidence: top !== undefined, probabilities: top !== undefined && top > 0 },
      {
        ...evaluateOptions({
          request,
          seed: this.#options.seed,
          tokens: this.#tokens,
          generatedCounts: this.#generatedCounts,
          generated: this.#generated,
          endTokens: this.#options.endTokens,
          makeBias: (biases) => fillBias(this.#options.newBias(), biases),
        }),
        ...(grammarState !== undefined && { grammarEvaluationState: grammarState }),
      },
    );
    const step = await gate.run(() => steps.next());
    // One evaluation per token: the next one has a seed and penalties of its own.
    await steps.return();
    if (step.done === true) throw new PlatformError('engine_failed', 'the native engine sampled no token');
    signal.throwIfAborted();
    return this.#take(step.value);
  }

  /** Whether a sampled token ends the answer. */
  ends(id: number): boolean {
    const { request, isEnd } = this.#options;
    if (request.stopTokenIds.includes(id)) return true;
    return isEnd(id) && (!request.ignoreEos || request.jsonSchema !== undefined);
  }

  #take(step: { token: Token; confidence?: number; probabilities?: Map<Token, number> }): GeneratedToken {
    const id = step.token as number;
    this.#tokens.push(id);
    this.#pending = [id];
    this.#generated++;
    this.#count(id);
    const token: GeneratedToken = { id, bytes: this.#options.tokenBytes(id) };
    const top = this.#options.request.topLogprobs;
    if (top === undefined) return token;
    token.logprob = Math.log(step.confidence ?? 0);
    token.topLogprobs = this.#best(step.probabilities, top);
    return token;
  }

  #best(probabilities: Map<Token, number> | undefined, count: number): TokenLogprob[] {
    if (probabilities === undefined) return [];
    return [...probabilities]
      .sort((a, b) => b[1] - a[1])
      .slice(0, count)
      .map(([id, probability]) => ({
        id,
        bytes: this.#options.tokenBytes(id),
        logprob: Math.log(probability),
      }));
  }

  #count(id: number): void {
    this.#generatedCounts.set(id, (this.#generatedCounts.get(id) ?? 0) + 1);
  }
}

/**
 * The library's own `set` leaves out tokens that end a text, and `minTokens` needs just those, so its table is written directly.
 * The package is pinned exactly; should the table be gone, this says so rather than end answers too early.
 */
function fillBias(bias: TokenBias, biases: ReadonlyMap<number, number>): TokenBias {
  const table = (bias as unknown as { _biases?: unknown })._biases;
  if (!(table instanceof Map)) {
    throw new PlatformError('not_supported', 'this release of node-llama-cpp takes no token biases from us');
  }
  for (const [id, value] of biases) table.set(id, value);
  return bias;
}
