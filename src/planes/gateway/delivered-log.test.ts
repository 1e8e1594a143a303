import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeliveredLog } from './delivered-log.ts';

const event = (text: string) =>
  `data: ${JSON.stringify({ id: 'c1', choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`;

const textOf = (log: DeliveredLog) => log.read().choices.get(0)?.text ?? '';

describe('DeliveredLog', () => {
  it('gives back what was added, whatever the sizes, also when it is read in between', () => {
    const size = fc.oneof(fc.nat(300), fc.nat(5_000), fc.constantFrom(131_000, 140_000));
    fc.assert(
      fc.property(fc.array(fc.tuple(size, fc.boolean()), { maxLength: 30 }), (steps) => {
        const log = new DeliveredLog(64 * 1024 * 1024);
        let expected = '';
        for (const [index, [length, isRead]] of steps.entries()) {
          const text = `${index}é${'x'.repeat(length)}`;
          log.add(Buffer.from(event(text)));
          expected += text;
          if (isRead) expect(textOf(log)).toBe(expected);
        }
        expect(textOf(log)).toBe(expected);
      }),
      { numRuns: 25 },
    );
  });

  it('keeps copies: a buffer that is used again does not change what was delivered', () => {
    const log = new DeliveredLog(1024);
    const buffer = Buffer.from(event('first'));
    log.add(buffer);
    buffer.fill(0);
    expect(textOf(log)).toBe('first');
  });

  it('keeps nothing beyond its bound, and says so', () => {
    const log = new DeliveredLog(500);
    log.add(Buffer.from(event('x'.repeat(300))));
    expect(log.overflowed).toBe(false);
    log.add(Buffer.from(event('x'.repeat(300))));
    expect(log.overflowed).toBe(true);
    expect(log.read().choices.size).toBe(0);
  });
});
