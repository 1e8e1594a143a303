import { expect, it } from 'vitest';
import { FakeExchange } from '../../../../tests/support/fake-exchange.ts';
import type { KeptAnswer } from '../../../contract/ports/idempotency-store.ts';
import { newRecord } from '../request-record.ts';
import { RecordingExchange } from './recording-exchange.ts';

it('keeps no header that is true for one answer only', async () => {
  const inner = new FakeExchange('POST', '/v1/chat/completions');
  const kept: (KeptAnswer | null)[] = [];
  const record = newRecord({ requestId: 'r', method: 'POST', route: '/', startedWallMs: 0, startedMs: 0 });
  const recording = new RecordingExchange(inner, {
    body: Buffer.alloc(0),
    record,
    headers: {},
    settle: async (answer) => void kept.push(answer),
  });
  const headers = {
    'content-type': 'application/json',
    'x-request-id': 'r',
    'openai-processing-ms': '5',
    'x-ratelimit-remaining-tokens': '7',
    'anthropic-ratelimit-tokens-remaining': '7',
  };
  recording.send(200, headers, '{}');
  await inner.answered;
  expect(kept.map((answer) => answer?.headers)).toEqual([{ 'content-type': 'application/json' }]);
  expect(inner.answerHeaders).toEqual(headers);
});
