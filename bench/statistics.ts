/** Statistics of the bench: percentiles by nearest rank, and the summary of one load run. Pure. */
import type { LoadResult } from './load-client.ts';

/** The value at percentile `p` (0..100) by nearest rank; NaN for no values. */
export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = Float64Array.from(values).sort();
  const rank = Math.ceil((p / 100) * sorted.length);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] as number;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

export interface LoadSummary {
  requests: number;
  failed: number;
  /** Failures by class, such as `http-503`. */
  errors: Record<string, number>;
  tokens: number;
  /** Content events received. */
  events: number;
  elapsedMs: number;
  requestsPerSecond: number;
  eventsPerSecond: number;
  ttftMs: { p50: number; p99: number };
  gapMs: { p50: number; p99: number; max: number };
  totalMs: { p50: number; p99: number };
}

export function summarize(result: LoadResult): LoadSummary {
  const { records, elapsedMs } = result;
  const errors: Record<string, number> = {};
  for (const { error } of records) {
    if (error !== null) errors[error.class] = (errors[error.class] ?? 0) + 1;
  }
  const good = records.filter((record) => record.error === null);
  const gaps = good.flatMap((record) => record.gapsMs);
  const first = good.flatMap((record) => (record.ttftMs === null ? [] : [record.ttftMs]));
  const totals = good.map((record) => record.totalMs);
  const events = records.reduce((sum, record) => sum + record.events, 0);
  return {
    requests: records.length,
    failed: records.length - good.length,
    errors,
    tokens: records.reduce((sum, record) => sum + record.tokens, 0),
    events,
    elapsedMs,
    requestsPerSecond: (good.length / elapsedMs) * 1000,
    eventsPerSecond: (events / elapsedMs) * 1000,
    ttftMs: { p50: percentile(first, 50), p99: percentile(first, 99) },
    gapMs: { p50: percentile(gaps, 50), p99: percentile(gaps, 99), max: percentile(gaps, 100) },
    totalMs: { p50: percentile(totals, 50), p99: percentile(totals, 99) },
  };
}
