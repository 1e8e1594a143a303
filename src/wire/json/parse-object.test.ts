import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyBytes } from '../../../tests/support/hostile-json.ts';
import { mustBeRefusal, mustEqual } from '../../../tests/support/must.ts';
import { isRecord, parseJsonObject } from './parse-object.ts';

function outcome(bytes: Buffer): unknown {
  try {
    return parseJsonObject(bytes);
  } catch (error) {
    return error;
  }
}

describe('parseJsonObject', () => {
  it('gives what JSON.parse gives, or invalid_json, for any bytes (10,000 cases)', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        let expected: unknown;
        try {
          expected = isUtf8(bytes) ? JSON.parse(bytes.toString('utf8')) : undefined;
        } catch {
          expected = undefined;
        }
        const found = outcome(bytes);
        if (isRecord(expected)) mustEqual(found, expected);
        else mustBeRefusal(found, 'invalid_json');
      }),
      { numRuns: 10_000 },
    );
  });

  it('refuses what is nested too deep for the stack instead of ending the process', () => {
    const deep = Buffer.from(`{"a":${'['.repeat(5_000_000)}`);
    expect(outcome(deep)).toMatchObject({ code: 'invalid_json' });
  });

  it('lets no key reach the prototype', () => {
    const parsed = parseJsonObject(Buffer.from('{"__proto__":{"polluted":1}}'));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(Object.hasOwn(parsed, '__proto__')).toBe(true);
  });
});
