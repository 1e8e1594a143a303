/**
 * Bytes that may be in memory at once: whoever wants more waits for its turn, as long as not too many do. One that is larger
 * than all of it goes alone.
 */
import { PlatformError } from '../../../contract/errors.ts';

export interface ByteBudgetLimits {
  bytesMax: number;
  /** Callers that may wait. */
  waitingMax: number;
}

interface Waiting {
  bytes: number;
  go(): void;
}

export class ByteBudget {
  readonly #limits: ByteBudgetLimits;
  #taken = 0;
  /** In order. */
  readonly #waiting = new Set<Waiting>();

  constructor(limits: ByteBudgetLimits) {
    this.#limits = limits;
  }

  /** Resolves with what gives the bytes back, once. Rejects with the reason of `signal`, or with `saturated`. */
  take(bytes: number, signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.size === 0 && this.#fits(bytes)) return Promise.resolve(this.#give(bytes));
    const { waitingMax } = this.#limits;
    if (this.#waiting.size >= waitingMax) {
      const message = `${waitingMax} requests wait for memory already`;
      return Promise.reject(new PlatformError('saturated', message));
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting);
        reject(signal.reason);
        this.#next();
      };
      const waiting: Waiting = {
        bytes,
        go: () => {
          signal.removeEventListener('abort', leave);
          resolve(this.#give(bytes));
        },
      };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #give(bytes: number): () => void {
    this.#taken += bytes;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#taken -= bytes;
      this.#next();
    };
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.#limits.bytesMax;
  }

  #next(): void {
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) return;
      this.#waiting.delete(waiting);
      waiting.go();
    }
  }
}
