import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../base/clock.ts';
import type { Transport, UpstreamHandler, UpstreamRequest } from '../../../contract/ports/transport.ts';
import { createLineSender, type LineEnd } from './line-sender.ts';

const TIMEOUT_MS = 60_000;
const LINE = { path: '/v1/embeddings', body: Buffer.from('{}'), owner: 'ada', requestId: 'req_1' };

describe('a line on its way', () => {
  let request: UpstreamRequest;
  let gateway: UpstreamHandler;
  let aborted: number;
  let ends: LineEnd[];
  beforeEach(() => {
    vi.useFakeTimers();
    aborted = 0;
    ends = [];
  });
  afterEach(() => vi.useRealTimers());

  function send() {
    const transport: Transport = {
      send: (sent, handler) => {
        request = sent;
        gateway = handler;
        return { pause: () => {}, resume: () => {}, abort: () => void aborted++ };
      },
      forget: () => {},
      close: async () => {},
    };
    const gatewayOrigin = () => 'http://gateway';
    return createLineSender({
      transport,
      gatewayOrigin,
      key: 'k',
      clock: systemClock,
      timeoutMs: TIMEOUT_MS,
    }).send(LINE, (end) => void ends.push(end));
  }

  it('ends with the answer, once, and leaves nothing that waits', () => {
    send();
    expect(request).toMatchObject({ origin: 'http://gateway', method: 'POST', path: LINE.path });
    gateway.onHead(200, { 'x-request-id': 'req_2' });
    gateway.onData(Buffer.from('{"a":'));
    gateway.onData(Buffer.from('1}'));
    gateway.onEnd();
    const answer = { status: 200, requestId: 'req_2', body: Buffer.from('{"a":1}') };
    expect(ends).toEqual([{ result: { kind: 'answered', ok: true }, answer }]);
    vi.advanceTimersByTime(0);
    expect([vi.getTimerCount(), aborted]).toEqual([0, 0]);
  });

  it.each([
    ['nothing is answered', () => {}],
    [
      'the answer does not end',
      () => {
        gateway.onHead(200, {});
        gateway.onData(Buffer.from('{'));
      },
    ],
  ])('is given up as request_timeout when %s in time', async (_why, answer) => {
    send();
    answer();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    expect(ends).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    const error = {
      code: 'request_timeout',
      message: `This request was not answered within ${TIMEOUT_MS} ms.`,
    };
    expect(ends).toEqual([{ result: { kind: 'failed' }, error }]);
    expect(aborted).toBe(1);
    gateway.onEnd();
    expect(ends).toHaveLength(1);
  });

  it('says nothing any more when it was aborted', async () => {
    const { abort } = send();
    abort();
    gateway.onError('connection-lost', new Error('cut'));
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    expect([ends, aborted, vi.getTimerCount()]).toEqual([[], 1, 0]);
  });

  it.each([
    [401, { kind: 'refused' }],
    [408, { kind: 'refused' }],
    [429, { kind: 'refused' }],
    [503, { kind: 'refused' }],
    [400, { kind: 'answered', ok: false }],
    [404, { kind: 'answered', ok: false }],
    [502, { kind: 'failed' }],
    [504, { kind: 'failed' }],
  ])('takes status %i as %j', (status, result) => {
    send();
    gateway.onHead(status, {});
    gateway.onEnd();
    expect(ends).toMatchObject([{ result, answer: { status, requestId: LINE.requestId } }]);
  });

  it.each([
    ['connect-refused', { kind: 'refused' }],
    ['connect-timeout', { kind: 'refused' }],
    ['connection-lost', { kind: 'lost' }],
  ] as const)('takes %s as %j', (failure, result) => {
    send();
    gateway.onError(failure, new Error(failure));
    expect(ends).toMatchObject([{ result, error: { code: 'gateway_lost' } }]);
  });

  it('is answered with an error when its answer is too large', () => {
    send();
    gateway.onHead(200, {});
    for (let piece = 0; piece < 17; piece++) gateway.onData(Buffer.alloc(1_048_576));
    expect(ends).toMatchObject([{ result: { kind: 'answered', ok: false }, answer: { status: 502 } }]);
    expect(aborted).toBe(1);
  });
});
