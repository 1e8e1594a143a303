/**
 * Time as a value that is passed in. Only assembly makes the real clock; tests and simulations own theirs.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For logs and records, never for measuring. */
  wallMs(): number;
  /** Milliseconds from an arbitrary start; never goes back. For spans and deadlines. */
  monotonicMs(): number;
  /** Milliseconds since the machine started: one origin for all threads and processes. For what they share. */
  machineMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when the signal fires first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Both run on the monotonic clock of the machine; only where they begin differs, by thread. */
const MONOTONIC_START_MS = Number(process.hrtime.bigint()) / 1_000_000 - performance.now();

/** The clock of this process. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  machineMs: () => MONOTONIC_START_MS + performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};
