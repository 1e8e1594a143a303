/**
 * Keeps all running sequences in step: work on the native context starts together and the next round begins when the last of
 * it has ended. So batches are full, and erasing (which needs the context for itself) is never starved by sequences that
 * queue their next token while others are still computing.
 *
 * Work that arrives during a round waits for the next one; a run whose client reads slowly just misses rounds.
 */
export class StepGate {
  readonly #defer: (callback: () => void) => void;
  #waiting: (() => void)[] = [];
  #working = 0;
  #scheduled = false;

  /** @param defer calls back soon, after those who have just finished had the chance to come again. */
  constructor(defer: (callback: () => void) => void = setImmediate) {
    this.#defer = defer;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#turn();
    try {
      return await work();
    } finally {
      this.#working--;
      this.#schedule();
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#working > 0 || this.#scheduled) return;
    this.#scheduled = true;
    this.#defer(() => {
      this.#scheduled = false;
      // Counted here and not when the work begins, a moment later: nobody may start a round in between.
      this.#working = this.#waiting.length;
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }
}
