/** The requests that a dialect is answering: counted for its drain, and ended by the calls that engines have for that. */
import { PlatformError } from '../../contract/errors.ts';

export class RunningRequests {
  readonly #aborts = new Map<string, AbortController>();
  readonly #idle: (() => void)[] = [];
  /** New work is refused with 503 while it is true. */
  paused = false;

  get size(): number {
    return this.#aborts.size;
  }

  /** Runs one request under its id. `abort` ends it; a second request of the same id replaces the first in that respect. */
  async run(requestId: string, work: (abort: AbortController) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    const key = this.#aborts.has(requestId) ? `${requestId}-${this.#aborts.size}` : requestId;
    this.#aborts.set(key, abort);
    try {
      await work(abort);
    } finally {
      this.#aborts.delete(key);
      if (this.#aborts.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** How many were ended. */
  abort(what: readonly string[] | 'all'): number {
    const ids = what === 'all' ? [...this.#aborts.keys()] : what.filter((id) => this.#aborts.has(id));
    for (const id of ids)
      this.#aborts.get(id)?.abort(new PlatformError('engine_failed', `request ${id} was aborted by a call`));
    return ids.length;
  }

  /** Resolves when nothing runs. */
  untilIdle(): Promise<void> {
    if (this.#aborts.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}
