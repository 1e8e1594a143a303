import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, END_OF_TURN, encode, TURN_START, VOCABULARY_SIZE } from './tokenizer.ts';

const textOf = (tokens: readonly number[]) => Buffer.from(decode(tokens)).toString('utf8');

describe('tokenizer', () => {
  it('gives back every text that it encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        expect(textOf(encode(text, false))).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  it('gives back texts of words, spaces and punctuation in any mixture', () => {
    const piece = fc.constantFrom(
      'the',
      ' the',
      'The',
      ' ',
      '  ',
      '\n',
      '.',
      'thet',
      ' theing',
      'é',
      '🚀',
      '42',
      '<|im_end|>',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        expect(textOf(encode(pieces.join(''), false))).toBe(pieces.join(''));
      }),
    );
  });

  it('takes a known word with its leading space as one token', () => {
    expect(encode(' the window', false)).toHaveLength(2);
    expect(encode('The', false)).not.toEqual(encode(' The', false));
  });

  it('makes special tokens only when asked to', () => {
    expect(encode('<|im_start|>a<|im_end|>', true)).toEqual([TURN_START, ...encode('a', false), END_OF_TURN]);
    expect(encode('<|im_start|>', false)).not.toContain(TURN_START);
    expect(textOf(encode('<|im_start|>', false))).toBe('<|im_start|>');
  });

  it('names the id and the vocabulary when an id is outside of it', () => {
    expect(() => decode([VOCABULARY_SIZE])).toThrow(RangeError);
    expect(() => decode([-1])).toThrow(
      `token id -1 is outside the vocabulary of 0 to ${VOCABULARY_SIZE - 1}`,
    );
  });

  it('has a vocabulary of some thousand words, without doubles', () => {
    const words = Array.from({ length: VOCABULARY_SIZE - 259 }, (_, i) => textOf([259 + i]));
    expect(new Set(words).size).toBe(words.length);
    expect(words.length).toBeGreaterThan(8000);
  });
});
