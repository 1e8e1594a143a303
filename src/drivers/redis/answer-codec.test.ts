import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packChunks } from '../../contract/cached-answer.ts';
import type { StoredAnswer } from '../../contract/ports/answer-store.ts';
import { decodeAnswer, encodeAnswer } from './answer-codec.ts';

const NOW_MS = 1_000_000;

function storedOf(
  chunks: Uint8Array[],
  headers: Record<string, string> = { 'content-type': 'a/b' },
): StoredAnswer {
  const usage = { promptTokens: 3, completionTokens: null, estimatedTokens: 4 };
  return {
    answer: { status: 200, headers, streamed: true, storedAtMs: 5, usage, chunks: packChunks(chunks) },
    ttlMs: 10_000,
  };
}

describe('encodeAnswer and decodeAnswer', () => {
  it('give back what was given, and less time (property)', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (chunks) => {
        const stored = storedOf(chunks);
        const found = decodeAnswer(encodeAnswer(stored, NOW_MS), NOW_MS + 4_000);
        expect(found).toEqual({ ...stored, ttlMs: 6_000 });
      }),
      { numRuns: 1_000 },
    );
  });

  it('are nothing when it has expired', () => {
    expect(decodeAnswer(encodeAnswer(storedOf([]), NOW_MS), NOW_MS + 10_000)).toBeNull();
  });

  it('are nothing, and never fail, when bytes are missing, too many or others (property)', () => {
    const whole = encodeAnswer(storedOf([Buffer.from('hello'), Buffer.from('world')]), NOW_MS);
    for (let end = 0; end < whole.length; end++)
      expect(decodeAnswer(whole.subarray(0, end), NOW_MS)).toBeNull();
    expect(decodeAnswer(Buffer.concat([whole, Buffer.from('!')]), NOW_MS)).toBeNull();
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        const other = Buffer.from(whole);
        other[at] = value;
        expect(() => decodeAnswer(other, NOW_MS)).not.toThrow();
      }),
      { numRuns: 5_000 },
    );
  });

  it.each([
    ['a line break in a header', { 'content-type': 'a\r\nset-cookie: x' }],
    ['a name that is none', { 'content type': 'a' }],
  ])('are nothing with %s', (_name, headers) => {
    expect(decodeAnswer(encodeAnswer(storedOf([], headers), NOW_MS), NOW_MS)).toBeNull();
  });
});
