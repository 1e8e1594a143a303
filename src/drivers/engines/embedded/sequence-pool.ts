/**
 * The sequences of one context, and who gets them: a bounded queue ordered by priority and arrival in front of a pool in which
 * each free sequence keeps its tokens, so that a request finds the prefix that it shares with an earlier one.
 *
 * Invariants: a sequence has one owner or none; a waiter that leaves is gone from the queue at once; nobody waits while a
 * sequence is free. Generic in the sequence, so that it is tested without a model.
 */
export interface PooledSequence<S> {
  readonly sequence: S;
  /** What the sequence holds; kept up to date by whoever has it. */
  tokens: readonly number[];
}

interface Slot<S> extends PooledSequence<S> {
  lastUse: number;
}

interface Waiter<S> {
  priority: number;
  arrival: number;
  tokens: readonly number[];
  grant(slot: Slot<S>): void;
  refuse(reason: unknown): void;
}

/** Shorter common prefixes are no reason to overwrite what a sequence holds: all prompts of a template begin alike. */
const PREFIX_BLOCK = 16;

export class SequencePool<S> {
  readonly #free: Slot<S>[];
  readonly #waiting: Waiter<S>[] = [];
  readonly #size: number;
  readonly #queueMax: number;
  #clock = 0;
  #closed: { reason: unknown } | null = null;

  constructor(sequences: readonly S[], queueMax: number) {
    this.#free = sequences.map((sequence) => ({ sequence, tokens: [], lastUse: 0 }));
    this.#size = sequences.length;
    this.#queueMax = queueMax;
  }

  get running(): number {
    return this.#size - this.#free.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get full(): boolean {
    return this.#free.length === 0 && this.#waiting.length >= this.#queueMax;
  }

  /** Must not be called while `full`. Rejects with the signal's reason, or with that of `close`. */
  acquire(tokens: readonly number[], priority: number, signal: AbortSignal): Promise<PooledSequence<S>> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#closed !== null) return Promise.reject(this.#closed.reason);
    const slot = this.#takeBest(tokens);
    if (slot !== undefined) return Promise.resolve(slot);
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason);
      };
      const waiter: Waiter<S> = {
        priority,
        arrival: this.#clock++,
        tokens,
        grant: (granted) => {
          signal.removeEventListener('abort', leave);
          resolve(granted);
        },
        refuse: (reason) => {
          signal.removeEventListener('abort', leave);
          reject(reason);
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      const behind = this.#waiting.findIndex((other) => other.priority > priority);
      this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, waiter);
    });
  }

  /** `tokens` must say what the sequence holds. */
  release(pooled: PooledSequence<S>): void {
    const slot = pooled as Slot<S>;
    slot.lastUse = this.#clock++;
    this.#free.push(slot);
    const next = this.#waiting.shift();
    const granted = next === undefined ? undefined : this.#takeBest(next.tokens);
    if (next !== undefined && granted !== undefined) next.grant(granted);
  }

  /** Whoever waits is refused; whoever runs goes on. */
  close(reason: unknown): void {
    this.#closed = { reason };
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(reason);
  }

  /** The free sequence with the longest useful prefix; among equals the one that was not used for longest. */
  #takeBest(tokens: readonly number[]): Slot<S> | undefined {
    let best: { slot: Slot<S>; blocks: number } | undefined;
    for (const slot of this.#free) {
      const blocks = Math.floor(commonPrefix(slot.tokens, tokens) / PREFIX_BLOCK);
      const better =
        best === undefined ||
        blocks > best.blocks ||
        (blocks === best.blocks && slot.lastUse < best.slot.lastUse);
      if (better) best = { slot, blocks };
    }
    if (best !== undefined) this.#free.splice(this.#free.indexOf(best.slot), 1);
    return best?.slot;
  }
}

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}
