import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatheredBytes } from './gathered-bytes.ts';

const piece = fc.oneof(
  { arbitrary: fc.uint8Array({ minLength: 1, maxLength: 20 }), weight: 20 },
  { arbitrary: fc.nat(40_000).map((length) => new Uint8Array(length).fill(length)), weight: 1 },
);

describe('GatheredBytes', () => {
  it('gives back what was added, as one (property)', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 300 }), (pieces) => {
        const gathered = new GatheredBytes();
        for (const bytes of pieces) gathered.add(Buffer.from(bytes));
        expect(gathered.take().equals(Buffer.concat(pieces))).toBe(true);
        expect(gathered.take().length).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });

  it('gives back what was added, piece by piece (property)', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 300 }), (pieces) => {
        const gathered = new GatheredBytes();
        const out: Buffer[] = [];
        for (const [index, bytes] of pieces.entries()) {
          gathered.add(Buffer.from(bytes));
          const next = index % 3 === 0 ? gathered.shift() : undefined;
          if (next !== undefined) out.push(next);
        }
        for (let next = gathered.shift(); next !== undefined; next = gathered.shift()) out.push(next);
        expect(Buffer.concat(out).equals(Buffer.concat(pieces))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('copies nothing that came whole, and holds a million single bytes in a few buffers', () => {
    const gathered = new GatheredBytes();
    const whole = Buffer.from('whole');
    gathered.add(whole);
    expect(gathered.take()).toBe(whole);
    const one = Buffer.from('x');
    for (let count = 0; count < 1_000_000; count++) gathered.add(one);
    expect(gathered.buffers).toBeLessThan(100);
    expect(gathered.take().length).toBe(1_000_000);
  });
});
