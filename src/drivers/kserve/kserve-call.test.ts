import { describe, expect, it } from 'vitest';
import { PYTHON } from '../../../tests/support/kserve-signatures.ts';
import { systemClock } from '../../base/clock.ts';
import type { InferReply } from '../../wire/kserve/tensor.ts';
import { ANSWER_BYTES_MAX, type Backend, type BackendEvents } from './backend.ts';
import { KServeCall } from './kserve-call.ts';

const reply = (text: string): InferReply => ({
  final: undefined,
  outputs: new Map([['text_output', { name: 'text_output', datatype: 'BYTES', shape: [1], values: [text] }]]),
});

/** A completion of a decoupled model that sends `replies` and an end, unless it is aborted. */
function ask(replies: Iterable<InferReply>): Promise<{ status: number; body: string; sent: number }> {
  let sent = 0;
  let status = 0;
  let aborted = false;
  const send = ({ onReply, onEnd }: BackendEvents) => {
    for (const each of replies) {
      if (aborted) return;
      sent++;
      onReply(each);
    }
    onEnd();
  };
  const backend: Backend = {
    describe: () => Promise.reject(new Error('it is known already')),
    run: (_peer, _call, events) => {
      queueMicrotask(() => send(events));
      return {
        pause: () => {},
        resume: () => {},
        abort: () => {
          aborted = true;
        },
      };
    },
    forget: () => {},
    close: async () => {},
  };
  return new Promise((resolve, reject) => {
    let body = '';
    new KServeCall({
      request: {
        origin: 'http://127.0.0.1:1',
        method: 'POST',
        path: '/v1/completions',
        headers: {},
        body: Buffer.from('{"prompt":"Once"}'),
        connectTimeoutMs: 1_000,
      },
      target: { protocol: 'kserve-grpc', model: 'm' },
      handler: {
        onHead: (code) => {
          status = code;
        },
        onData: (chunk) => {
          body += chunk.toString();
        },
        onEnd: () => setImmediate(() => resolve({ status, body, sent })),
        onError: (_failure, cause) => reject(cause),
      },
      backend,
      clock: systemClock,
      signatureOf: async () => ({ ...PYTHON, decoupled: true }),
      forgetSignature: () => {},
    });
  });
}

function* forEver(text: string): Generator<InferReply> {
  for (;;) yield reply(text);
}

describe('a decoupled model whose answers are collected', () => {
  it('answers with all of them', async () => {
    const { status, body } = await ask([reply('Once upon'), reply(' a time')]);
    expect(status).toBe(200);
    expect(JSON.parse(body).choices[0].text).toContain('upon a time');
  });

  it.each([
    ['long ones', 'x'.repeat(1024 * 1024), 64],
    ['empty ones', '', ANSWER_BYTES_MAX / 256 + 1],
  ])('is stopped and fails when it sends %s for ever', async (_name, text, mostSent) => {
    const { status, body, sent } = await ask(forEver(text));
    expect(status).toBe(502);
    expect(JSON.parse(body).error).toMatchObject({
      code: 'engine_failed',
      message: `the answers of the engine have more than ${ANSWER_BYTES_MAX} bytes`,
    });
    expect(sent).toBeLessThanOrEqual(mostSent);
  });
});
