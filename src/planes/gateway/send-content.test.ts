import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { demoSnapshot, planeUnderTest } from '../../../tests/support/plane-under-test.ts';
import { sendContent } from './send-content.ts';

const STALL_MS = 60_000;

describe('content in pieces', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function sending(exchange: FakeExchange, chunks: AsyncIterable<Buffer>): Promise<unknown> {
    const snapshot = demoSnapshot(1, { settings: { writeStallTimeoutMs: STALL_MS } });
    const { plane } = planeUnderTest({ snapshot });
    return sendContent(plane, exchange, { headers: {}, chunks }).catch((error: unknown) => error);
  }

  async function* pieces(): AsyncGenerator<Buffer> {
    yield Buffer.from('one ');
    yield Buffer.from('two');
  }

  it('goes on when the client has taken what waited for it', async () => {
    const exchange = new FakeExchange('GET', '/');
    exchange.slow = true;
    const sent = sending(exchange, pieces());
    await vi.advanceTimersByTimeAsync(STALL_MS - 1_000);
    expect(exchange.text).toBe('one ');
    exchange.drain();
    expect(await sent).toBe(7);
    expect(exchange.text).toBe('one two');
  });

  it.each([
    ['in the middle', 0],
    ['at the end', 1],
  ])('ends with a client that takes nothing for too long, %s', async (_when, drains) => {
    const exchange = new FakeExchange('GET', '/');
    exchange.slow = true;
    const sent = sending(exchange, pieces());
    await vi.advanceTimersByTimeAsync(0);
    for (let drain = 0; drain < drains; drain++) {
      exchange.drain();
      exchange.slow = true;
      await vi.advanceTimersByTimeAsync(0);
    }
    await vi.advanceTimersByTimeAsync(STALL_MS + 1_000);
    expect(exchange.destroyed).toBe(true);
    expect(await sent).toMatchObject({ code: 'client_closed' });
  });

  it('is cut when its source breaks, since the length was announced', async () => {
    const exchange = new FakeExchange('GET', '/');
    const broken = new Error('the disk');
    const sent = sending(
      exchange,
      (async function* () {
        yield Buffer.from('one ');
        throw broken;
      })(),
    );
    expect(await sent).toBe(broken);
    expect(exchange.destroyed).toBe(true);
  });
});
