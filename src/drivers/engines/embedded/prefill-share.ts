/**
 * How many prompt tokens a sequence computes in one round of the step gate. Whatever the rest of the round does waits for
 * them, so a round has so many in all, shared out over the sequences that are at their prompts.
 *
 * In exact mode each of these tokens is a batch of its own. With one token a round a prompt would move at the pace of the
 * answers beside it: a stream that comes from a dead replica with 100 tokens would wait for 100 tokens of 15 others.
 */
export const ROUND_PROMPT_TOKENS = { exact: 64, full: 512 } as const;

export class PrefillShare {
  readonly #perRound: number;
  #sequences = 0;

  constructor(exact: boolean) {
    this.#perRound = exact ? ROUND_PROMPT_TOKENS.exact : ROUND_PROMPT_TOKENS.full;
  }

  /** The tokens of one sequence in the next round; at least one. */
  get pieceTokens(): number {
    return Math.max(1, Math.floor(this.#perRound / Math.max(1, this.#sequences)));
  }

  /** Counts a sequence in as long as `prefill` runs. */
  async during(prefill: () => Promise<void>): Promise<void> {
    this.#sequences++;
    try {
      await prefill();
    } finally {
      this.#sequences--;
    }
  }
}
