import { describe, expect, it } from 'vitest';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { PlatformError } from '../../contract/errors.ts';
import { ClientStream } from './client-stream.ts';
import { type AnswerTranslator, TranslatedExchange } from './dialects/translated-exchange.ts';

/** A translator that shows what it was given. */
const shouting: AnswerTranslator = {
  answer: (status, body) => ({ status, body: body.toString() }),
  events: (frames) => frames.toString().toUpperCase(),
  end: () => 'END',
};

function open(translator: AnswerTranslator | null = null) {
  const inner = new FakeExchange('POST', '/');
  const heads: number[] = [];
  const exchange = translator === null ? inner : new TranslatedExchange(inner, translator);
  const stream = new ClientStream(exchange, 1_000_000, () => {
    heads.push(1);
    return { 'content-type': 'text/event-stream' };
  });
  return { inner, stream, heads };
}

const token = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n');

describe('ClientStream', () => {
  it('opens with a keep-alive, sends the head once, and is not committed by it', () => {
    const { inner, stream, heads } = open();
    stream.keepAlive(1);
    stream.keepAlive(2);
    expect([stream.opened, stream.committed, inner.status]).toEqual([true, false, 200]);
    expect(stream.offer(token, 3)).toBe('committed');
    expect([stream.committed, heads.length]).toEqual([true, 1]);
    expect(inner.text).toBe(`: keep-alive\n\n: keep-alive\n\n${token}`);
  });

  it('forgets the preamble of a failed attempt after a keep-alive too', () => {
    const { inner, stream } = open();
    stream.offer(Buffer.from('data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'), 1);
    stream.keepAlive(2);
    stream.dropHeld();
    stream.offer(token, 3);
    expect(inner.text).toBe(`: keep-alive\n\n${token}`);
  });

  it('hands comments and late errors to the translator of another dialect', () => {
    const { inner, stream } = open(shouting);
    stream.keepAlive(1);
    stream.fail(new PlatformError('upstream_timeout', 'late'), null);
    expect(inner.writes[0]).toBe(': KEEP-ALIVE\n\n');
    expect(inner.text).toContain('"CODE":"UPSTREAM_TIMEOUT"');
    expect(inner.text.endsWith('END')).toBe(true);
  });

  it('counts data lines, and no comments', () => {
    const { stream } = open();
    stream.keepAlive(1);
    stream.offer(Buffer.concat([token, Buffer.from(': x\n\n'), token]), 2);
    stream.deliver(Buffer.from('data: [DONE]\n\n'), 3);
    expect(stream.dataLines).toBe(3);
  });
});
