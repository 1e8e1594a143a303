import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeExchange } from '../../../../tests/support/fake-exchange.ts';
import { demoSnapshot, planeUnderTest } from '../../../../tests/support/plane-under-test.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { ResponseEvent, StoredResponse } from '../../../contract/ports/response-store.ts';

const ID = `resp_${'0'.repeat(32)}`;
const STALL_MS = 60_000;
const delta: ResponseEvent = { sequence: 0, data: '{"type":"response.output_text.delta","delta":"x"}' };
const completed: ResponseEvent = { sequence: 1, data: '{"type":"response.completed"}' };

/** A background response whose events are kept, as far as it has come. */
class Kept {
  events: ResponseEvent[] = [delta];
  failure: Error | null = null;
  readonly response: StoredResponse = {
    id: ID,
    owner: '',
    status: 'in_progress',
    previousId: null,
    createdAtMs: 0,
    expiresAtMs: Number.MAX_SAFE_INTEGER,
    inputJson: '[]',
    responseJson: '{}',
    eventsKept: true,
    aliveAtMs: Number.MAX_SAFE_INTEGER,
  };

  readonly stores = {
    responses: {
      find: async () => {
        if (this.failure !== null) throw this.failure;
        return this.response;
      },
      events: async ({ after }: { after: number }) => this.events.filter(({ sequence }) => sequence > after),
    },
  };
}

describe('a reader of a stored stream', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function reading(kept: Kept) {
    const snapshot = demoSnapshot(1, { settings: { writeStallTimeoutMs: STALL_MS } });
    const { plane, logged } = planeUnderTest({ snapshot, stores: kept.stores });
    const read = (slow = false) => {
      const exchange = new FakeExchange('GET', `/v1/responses/${ID}?stream=true`);
      exchange.slow = slow;
      plane.handle(exchange);
      return exchange;
    };
    const lines = () =>
      logged
        .map((line) => JSON.parse(line))
        .map((line) => [line['http.response.status_code'], line.outcome, line.error_code]);
    return { read, lines, logged };
  }

  it('has read all when it has taken the last event', async () => {
    const kept = new Kept();
    const { read, lines } = reading(kept);
    const exchange = read();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(lines()).toEqual([]);
    kept.events.push(completed);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(exchange.text).toBe(
      `event: response.output_text.delta\ndata: ${delta.data}\n\nevent: response.completed\ndata: ${completed.data}\n\n`,
    );
    expect(lines()).toEqual([[200, 'completed', null]]);
  });

  it.each([
    ['in the middle', [delta]],
    ['at its end', [delta, completed]],
  ])('is dropped when it takes nothing for too long, %s', async (_when, events) => {
    const kept = new Kept();
    kept.events = events;
    const { read, lines } = reading(kept);
    const exchange = read(true);
    await vi.advanceTimersByTimeAsync(STALL_MS - 1_000);
    expect([exchange.destroyed, lines()]).toEqual([false, []]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(exchange.destroyed).toBe(true);
    expect(lines()).toEqual([[499, 'cancelled-by-client', 'client_closed']]);
  });

  it('may take its time as long as it takes something, or there is nothing to take', async () => {
    const kept = new Kept();
    const { read } = reading(kept);
    const exchange = read(true);
    await vi.advanceTimersByTimeAsync(STALL_MS - 1_000);
    exchange.drain();
    await vi.advanceTimersByTimeAsync(10 * STALL_MS);
    expect(exchange.destroyed).toBe(false);
    expect(exchange.text).toContain(': keep-alive');
    exchange.leave();
  });

  it('is told when storage fails, and the log does not say that all went well', async () => {
    const kept = new Kept();
    const { read, lines } = reading(kept);
    const exchange = read();
    await vi.advanceTimersByTimeAsync(1_000);
    kept.failure = new PlatformError('storage_unavailable', 'the disk hangs');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(exchange.text).toContain('"code":"storage_unavailable","message":"the disk hangs"');
    expect(lines()).toEqual([[200, 'failed-internal', 'storage_unavailable']]);
  });

  it('is not shown what a bug says; the log is', async () => {
    const kept = new Kept();
    const { read, lines, logged } = reading(kept);
    const exchange = read();
    await vi.advanceTimersByTimeAsync(1_000);
    kept.failure = new TypeError('scripted');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(exchange.text).toContain('"code":"internal"');
    expect(exchange.text).not.toContain('scripted');
    expect(logged.join('')).toContain('scripted');
    expect(lines().at(-1)).toEqual([200, 'failed-internal', 'internal']);
  });

  it('is refused when as many as may be read already, and not once one has left', async () => {
    const { read } = reading(new Kept());
    const readers = Array.from({ length: 256 }, () => read());
    await vi.advanceTimersByTimeAsync(100);
    const beyond = read();
    await vi.advanceTimersByTimeAsync(100);
    expect([beyond.status, beyond.json.error.code]).toEqual([429, 'saturated']);
    readers.pop()?.leave();
    await vi.advanceTimersByTimeAsync(100);
    const next = read();
    await vi.advanceTimersByTimeAsync(100);
    expect(next.status).toBe(200);
    for (const reader of [...readers, next]) reader.leave();
    await vi.advanceTimersByTimeAsync(100);
  });
});
