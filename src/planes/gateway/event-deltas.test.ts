import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventDeltas } from './event-deltas.ts';

const word = fc.string({ unit: 'grapheme', maxLength: 12 });
const event = fc
  .tuple(fc.constantFrom('chatcmpl-1', 'chatcmpl-2'), fc.nat(9), word)
  .map(
    ([id, index, content]) => `data: ${JSON.stringify({ id, choices: [{ index, delta: { content } }] })}\n\n`,
  );
const piece = fc.oneof(
  { arbitrary: event.map((text) => Buffer.from(text)), weight: 10 },
  { arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)), weight: 2 },
  { arbitrary: fc.nat(70_000).map((length) => Buffer.alloc(length, 'ab')), weight: 1 },
);

describe('EventDeltas', () => {
  it('gives back all that was added, byte for byte (property)', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const deltas = new EventDeltas();
        for (const bytes of pieces) deltas.add(bytes);
        const whole = Buffer.concat(pieces);
        expect(deltas.total).toBe(whole.length);
        expect(deltas.read().equals(whole)).toBe(true);
        deltas.add(Buffer.from('more'));
        expect(deltas.read().equals(Buffer.concat([whole, Buffer.from('more')]))).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  it('takes a tenth of what a stream of tokens is', () => {
    const deltas = new EventDeltas();
    for (let token = 0; token < 500; token++) {
      const delta = { content: ` w${token % 100}` };
      const chunk = {
        id: 'chatcmpl-7f0c',
        object: 'chat.completion.chunk',
        created: 1795734034,
        model: 'a-model',
        choices: [{ index: 0, delta, logprobs: null, finish_reason: null }],
      };
      deltas.add(Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`));
    }
    expect(deltas.total / deltas.held).toBeGreaterThan(8);
  });

  it('is empty after it was cleared', () => {
    const deltas = new EventDeltas();
    deltas.add(Buffer.from('a'));
    deltas.clear();
    deltas.add(Buffer.from('b'));
    expect(deltas.read().toString()).toBe('b');
  });
});
