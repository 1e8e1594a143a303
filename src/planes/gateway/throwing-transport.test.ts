/** A transport that throws is a bug of ours; what is left behind must not throw again later, where it would end the thread. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { poolOf, TEST_SETTINGS } from '../../../tests/support/gateway-under-test.ts';
import { systemClock } from '../../base/clock.ts';
import type { Transport } from '../../contract/ports/transport.ts';
import { askEngine } from './ask-engine.ts';
import { Attempt } from './attempt.ts';
import { DeadlineSweep } from './deadline-sweep.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const transport: Transport = {
  send: () => {
    throw new Error('no such thing');
  },
  forget: () => {},
  close: async () => {},
};
const view = poolOf('m', [{ url: 'http://x' }]).replicas[0]!;

it('leaves no timer of a question', () => {
  const question = { path: '/tokenize', body: {}, timeoutMs: 10, bytesMax: 10 };
  expect(() => askEngine({ transport, settings: TEST_SETTINGS }, view, question)).toThrow('no such thing');
  expect(vi.getTimerCount()).toBe(0);
});

it('leaves no attempt under watch', () => {
  const context = {
    clock: systemClock,
    transport,
    attempts: new DeadlineSweep<Attempt>(systemClock),
    settings: TEST_SETTINGS,
    noteProgress: () => {},
    isSuspect: () => false,
  };
  const request = {
    replica: { view, slot: 0 },
    path: '/v1/chat/completions',
    body: Buffer.from('{}'),
    requestId: 'r',
    accept: 'application/json',
    traceparent: undefined,
  };
  const events = { onHead: () => {}, onData: () => {}, onEnd: () => {}, onFailure: () => {} };
  expect(() => new Attempt(context, request, events)).toThrow('no such thing');
  expect(vi.getTimerCount()).toBe(0);
});
