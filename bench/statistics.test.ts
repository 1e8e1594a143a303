import { describe, expect, it } from 'vitest';
import type { RequestRecord } from './load-client.ts';
import { median, percentile, summarize } from './statistics.ts';

describe('percentile', () => {
  it('takes the nearest rank, of values in any order', () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(percentile(values, 50)).toBe(50);
    expect(percentile(values, 99)).toBe(99);
    expect(percentile(values, 100)).toBe(100);
    expect(percentile(values, 0)).toBe(1);
    expect(median([3, 1, 2])).toBe(2);
  });

  it('is NaN for no values', () => {
    expect(percentile([], 50)).toBeNaN();
  });
});

describe('summarize', () => {
  const record = (changes: Partial<RequestRecord>): RequestRecord => ({
    index: 0,
    status: 200,
    headers: {},
    text: '',
    tokens: 4,
    tokenIds: [],
    events: 4,
    finishReason: 'stop',
    usage: null,
    error: null,
    ttftMs: 10,
    gapsMs: [1, 2, 3],
    totalMs: 16,
    startedAtMs: 0,
    ...changes,
  });

  it('counts failures by class and leaves them out of the latencies', () => {
    const summary = summarize({
      elapsedMs: 2000,
      records: [
        record({}),
        record({ ttftMs: 20 }),
        record({ error: { class: 'http-503', message: '' }, ttftMs: 9999, totalMs: 9999, gapsMs: [9999] }),
      ],
    });
    expect(summary).toMatchObject({
      requests: 3,
      failed: 1,
      errors: { 'http-503': 1 },
      tokens: 12,
      requestsPerSecond: 1,
      eventsPerSecond: 6,
      ttftMs: { p50: 10, p99: 20 },
      gapMs: { p50: 2, p99: 3, max: 3 },
      totalMs: { p50: 16, p99: 16 },
    });
  });
});
