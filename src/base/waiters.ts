/** Callers that wait for something to become true, each for a limited time. `check` is called whenever something changed. */
export class Waiters {
  readonly #checks = new Set<() => void>();
  #closed = false;

  check(): void {
    for (const check of this.#checks) check();
  }

  /** Everybody is let go, now and from now on. */
  close(): void {
    this.#closed = true;
    this.check();
  }

  /** Resolves when `holds` does, when the time is over, when `signal` fires, or when all are let go. */
  until(holds: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        this.#checks.delete(check);
        resolve();
      };
      const check = () => {
        if (this.#closed || holds()) done();
      };
      const timer = setTimeout(done, timeoutMs);
      signal?.addEventListener('abort', done, { once: true });
      this.#checks.add(check);
      if (signal?.aborted) done();
      else check();
    });
  }
}
