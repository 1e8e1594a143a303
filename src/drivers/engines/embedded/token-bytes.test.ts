import { describe, expect, it } from 'vitest';
import { createTokenBytes } from './token-bytes.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const noFallback = () => {
  throw new Error('not needed');
};

describe('token bytes', () => {
  it('reads byte-level BPE: printable characters as themselves, the others by the table of GPT-2', () => {
    const tokens = ['Hello', 'Ġworld', 'Ċ', 'Ã', '©', 'ł', 'Ń', '<|end|>'];
    const bytes = createTokenBytes({ kind: 'gpt2', tokens, types: [1, 1, 1, 1, 1, 1, 1, 3] }, noFallback);
    expect(tokens.map((_, id) => text(bytes(id)))).toEqual([
      'Hello',
      ' world',
      '\n',
      '\xc3',
      '\xa9',
      '\xa0',
      '\xad',
      '',
    ]);
    expect(Buffer.concat([bytes(3), bytes(4)]).toString()).toBe('é');
  });

  it('covers each of the 256 bytes once', () => {
    const characters = Array.from({ length: 512 }, (_, code) => String.fromCodePoint(code));
    const bytes = createTokenBytes({ kind: 'gpt2', tokens: characters, types: undefined }, noFallback);
    const single = characters.map((_, id) => bytes(id)).filter((one) => one.length === 1);
    expect(new Set(single.map((one) => one[0])).size).toBe(256);
  });

  it('reads SentencePiece: blocks as spaces, byte tokens as bytes', () => {
    const tokens = ['▁Hi', '<0xE2>', '<s>', '<0xE2>'];
    const bytes = createTokenBytes({ kind: 'llama', tokens, types: [1, 6, 3, 1] }, noFallback);
    expect([0, 1, 2].map((id) => text(bytes(id)))).toEqual([' Hi', '\xe2', '']);
    expect(text(bytes(3))).toBe('<0xE2>');
  });

  it('asks the library in other vocabularies, and refuses ids that do not exist', () => {
    const bytes = createTokenBytes({ kind: 'bert', tokens: ['a'], types: [1] }, () => 'from library');
    expect(text(bytes(0))).toBe('from library');
    expect(() => bytes(1)).toThrow(RangeError);
  });
});
