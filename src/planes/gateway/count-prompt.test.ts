/** The count of the tokens of a prompt as clients of the Responses API ask for it; that of the Messages API is the same. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { type PlaneParts, planeUnderTest } from '../../../tests/support/plane-under-test.ts';
import type { UpstreamHandler } from '../../contract/ports/transport.ts';

const SECOND_MS = 1_000;

describe('counting the tokens of a prompt', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  async function counting(send: PlaneParts['send']): Promise<{ exchange: FakeExchange; outcome(): unknown }> {
    const { plane, logged } = planeUnderTest({ ...(send !== undefined && { send }) });
    const exchange = new FakeExchange('POST', '/v1/responses/input_tokens', { model: 'demo', input: 'Hi' });
    plane.handle(exchange);
    await vi.advanceTimersByTimeAsync(0);
    return { exchange, outcome: () => logged.map((line) => JSON.parse(line).outcome) };
  }

  function answer(handler: UpstreamHandler, status: number, body: object): void {
    handler.onHead(status, {});
    handler.onData(Buffer.from(JSON.stringify(body)));
    handler.onEnd();
  }

  it('waits for an engine that is slow with a long prompt', async () => {
    const { exchange, outcome } = await counting(({ path }, handler) => {
      expect(path).toBe('/tokenize');
      setTimeout(() => answer(handler, 200, { count: 7 }), 29 * SECOND_MS);
    });
    await vi.advanceTimersByTimeAsync(28 * SECOND_MS);
    expect(exchange.headSent).toBe(false);
    await vi.advanceTimersByTimeAsync(2 * SECOND_MS);
    expect(exchange.json).toEqual({ object: 'response.input_tokens', input_tokens: 7 });
    expect(outcome()).toEqual(['completed']);
  });

  it('asks the next replica when one is dead, broken or busy', async () => {
    const asked: string[] = [];
    const { exchange } = await counting(({ origin }, handler) => {
      asked.push(origin);
      const first = asked.length === 1;
      setTimeout(() => answer(handler, first ? 503 : 200, first ? {} : { count: 7 }));
    });
    await vi.advanceTimersByTimeAsync(SECOND_MS);
    expect(new Set(asked)).toEqual(new Set(['http://a', 'http://b']));
    expect(exchange.json).toMatchObject({ input_tokens: 7 });
  });

  it.each<[string, PlaneParts['send'], number, string, string]>([
    ['none answers in time', () => {}, 504, 'upstream_timeout', 'failed-upstream'],
    [
      'none can be reached',
      (_request, handler) => void setTimeout(() => handler.onError('connect-refused', new Error('refused'))),
      502,
      'engine_failed',
      'failed-upstream',
    ],
    [
      'none says a number',
      (_request, handler) => void setTimeout(() => answer(handler, 200, { count: 'many' })),
      502,
      'engine_failed',
      'failed-upstream',
    ],
    [
      'the engine refuses the prompt',
      (_request, handler) =>
        void setTimeout(() => answer(handler, 400, { error: { message: 'too long', type: 'x' } })),
      400,
      'invalid_request',
      'rejected-invalid',
    ],
  ])('is refused with a typed error when %s', async (_why, send, status, code, ended) => {
    const { exchange, outcome } = await counting(send);
    await vi.advanceTimersByTimeAsync(61 * SECOND_MS);
    expect([exchange.status, exchange.json.error.code]).toEqual([status, code]);
    expect(outcome()).toEqual([ended]);
  });

  it('ends with its client', async () => {
    const { exchange, outcome } = await counting(() => {});
    exchange.leave();
    await vi.advanceTimersByTimeAsync(SECOND_MS);
    expect(outcome()).toEqual(['cancelled-by-client']);
    expect(vi.getTimerCount()).toBe(0);
  });
});
