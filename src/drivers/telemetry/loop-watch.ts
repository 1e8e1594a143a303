/** How late the event loop of this thread is, and how long it collects garbage; from the runtime's own histograms. */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';

const RESOLUTION_MS = 10;
const NS_PER_MS = 1_000_000;

export interface LoopWatch {
  /** Since it was taken last: the delay at the 99th percentile, beyond the resolution, and the sum of collections. */
  take(): { eventLoopDelayMs: number; gcPauseMs: number };
  stop(): void;
}

export function watchLoop(): LoopWatch {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let gcPauseMs = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) gcPauseMs += duration;
  });
  observer.observe({ entryTypes: ['gc'] });
  return {
    take: () => {
      const eventLoopDelayMs = Math.max(0, delay.percentile(99) / NS_PER_MS - RESOLUTION_MS);
      const taken = { eventLoopDelayMs, gcPauseMs };
      delay.reset();
      gcPauseMs = 0;
      return taken;
    },
    stop: () => {
      delay.disable();
      observer.disconnect();
    },
  };
}
