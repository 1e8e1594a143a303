/** The requests that a dialect is answering: counted for its drain, and ended by the calls that engines have for that. */
import { PlatformError } from '../../contract/errors.ts';

interface Running {
  requestId: string;
  abort: AbortController;
}

export class RunningRequests {
  readonly #running = new Set<Running>();
  readonly #idle: (() => void)[] = [];
  /** New work is refused with 503 while it is true. */
  paused = false;

  get size(): number {
    return this.#running.size;
  }

  /** Runs one request; clients choose ids, so several may have the same. */
  async run(requestId: string, work: (abort: AbortController) => Promise<void>): Promise<void> {
    const running = { requestId, abort: new AbortController() };
    this.#running.add(running);
    try {
      await work(running.abort);
    } finally {
      this.#running.delete(running);
      if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** How many were ended. */
  abort(what: readonly string[] | 'all'): number {
    const meant = [...this.#running].filter(({ requestId }) => what === 'all' || what.includes(requestId));
    for (const { requestId, abort } of meant)
      abort.abort(new PlatformError('engine_failed', `request ${requestId} was aborted by a call`));
    return meant.length;
  }

  /** Resolves when nothing runs. */
  untilIdle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}
