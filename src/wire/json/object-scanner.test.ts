import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonObject, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { ObjectScanner } from './object-scanner.ts';

function scan(...pieces: string[]): string {
  const scanner = new ObjectScanner();
  for (const piece of pieces) scanner.push(piece);
  return scanner.state;
}

describe('ObjectScanner', () => {
  it('knows when an object is complete, whatever stands in its strings', () => {
    expect(scan(' \n')).toBe('before');
    expect(scan('{"a":"}"')).toBe('inside');
    expect(scan('{"a":"\\"}"', '}', ' ')).toBe('complete');
    expect(scan('{"a":[{}', ']}')).toBe('complete');
  });

  it('says that text is broken which is no object, or goes on after one', () => {
    expect(scan('[1]')).toBe('broken');
    expect(scan('null')).toBe('broken');
    expect(scan('{}', '{}')).toBe('broken');
  });

  it('is complete at the end of any object, not before, in any pieces (10,000 cases)', () => {
    fc.assert(
      fc.property(
        jsonObject(jsonValue(2), { maxKeys: 4 }),
        fc.nat(),
        fc.constantFrom(undefined, 1),
        (object, at, space) => {
          const text = JSON.stringify(object, null, space);
          const cut = at % text.length;
          const scanner = new ObjectScanner();
          scanner.push(text.slice(0, cut));
          mustEqual(scanner.state, cut === 0 ? 'before' : 'inside');
          scanner.push(text.slice(cut));
          mustEqual(scanner.state, 'complete');
        },
      ),
      { numRuns: 10_000 },
    );
  });
});
