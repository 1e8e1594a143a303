import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mustEqual } from '../../../tests/support/must.ts';
import { LineScanner, type ScannedLine } from './line-scanner.ts';

function scan(bytes: Buffer, cuts: number[] = [], max = 1_000): ScannedLine[] {
  const scanner = new LineScanner(max);
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const lines = [0, ...places].flatMap((from, index) => scanner.push(bytes.subarray(from, places[index])));
  return [...lines, ...scanner.end()];
}

const texts = (lines: ScannedLine[]) => lines.map(({ bytes }) => bytes?.toString() ?? null);

describe('LineScanner', () => {
  it('gives each line with its number and its place, in any chunking (10,000 cases)', () => {
    const piece = fc.constantFrom('\n', '\r\n', ' ', '\t', '{}', 'é', 'long'.repeat(6), '\uFEFF', '\r');
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 20 }),
        fc.array(fc.nat(200), { maxLength: 6 }),
        (pieces, cuts) => {
          const bytes = Buffer.from(pieces.join(''));
          const lines = scan(bytes, cuts, 20);
          const whole = bytes.toString();
          const expected = (whole.startsWith('\uFEFF') ? whole.slice(1) : whole)
            .split('\n')
            .map((line, index) => ({ text: line.replace(/\r$/, ''), number: index + 1 }))
            .filter(({ text }) => !/^[ \t\r]*$/.test(text));
          mustEqual(
            lines.map(({ number }) => number),
            expected.map(({ number }) => number),
          );
          mustEqual(
            texts(lines),
            expected.map(({ text }) => (Buffer.byteLength(text) > 20 ? null : text)),
          );
          for (const { from, length, bytes: line } of lines)
            if (line !== null) mustEqual(bytes.subarray(from, from + length).equals(line), true);
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it('does not keep a line that is too long, and goes on after it', () => {
    const scanner = new LineScanner(10);
    const lines = [
      ...scanner.push(Buffer.from('a\n')),
      ...Array.from({ length: 100 }, () => scanner.push(Buffer.alloc(1_000, 'x'))).flat(),
      ...scanner.push(Buffer.from('\nb\n')),
      ...scanner.end(),
    ];
    expect(lines.map(({ number, from, length }) => [number, from, length])).toEqual([
      [1, 0, 1],
      [2, 2, 100_000],
      [3, 100_003, 1],
    ]);
    expect(texts(lines)).toEqual(['a', null, 'b']);
  });
});
