/**
 * The simulator's own reversible tokenizer. Ids 0..255 are single bytes, so every input can be encoded; then come the special
 * tokens, then words in four spellings (`word`, ` word`, `Word`, ` Word`). Text is cut by greedy longest match.
 *
 * Invariant: a space occurs only as the first byte of a token, and words are ASCII letters. Therefore a text made of whole
 * words, punctuation and bytes (see next-token.ts) is cut into the very tokens it was made of, also when it is cut short
 * at a token border.
 */
import { modelWords } from './words.ts';

const SPECIAL_TOKENS = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'] as const;
const FIRST_SPECIAL = 256;
const FIRST_WORD = FIRST_SPECIAL + SPECIAL_TOKENS.length;

export const TURN_START = FIRST_SPECIAL;
/** Ends an answer. */
export const END_OF_TURN = FIRST_SPECIAL + 1;

const SPACE = 0x20;
const ENCODER = new TextEncoder();

/** Spellings of a word, in the order of their ids. */
const SPELLINGS = ['plain', 'spaced', 'capital', 'spaced-capital'] as const;
export type Spelling = (typeof SPELLINGS)[number];

const WORDS = modelWords();
export const WORD_COUNT = WORDS.length;
export const VOCABULARY_SIZE = FIRST_WORD + WORD_COUNT * SPELLINGS.length;

export function wordToken(word: number, spelling: Spelling): number {
  return FIRST_WORD + word * SPELLINGS.length + SPELLINGS.indexOf(spelling);
}

function spell(word: string, spelling: Spelling): string {
  const capital = spelling.endsWith('capital') ? (word[0] as string).toUpperCase() + word.slice(1) : word;
  return spelling.startsWith('spaced') ? ` ${capital}` : capital;
}

const NO_BYTES = new Uint8Array(0);
/** Bytes of each token; empty for special ones. Shared: never written to. */
const TOKEN_BYTES: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...SPECIAL_TOKENS.map(() => NO_BYTES),
  ...WORDS.flatMap((word) => SPELLINGS.map((spelling) => ENCODER.encode(spell(word, spelling)))),
];
const WORD_IDS = new Map<string, number>(
  WORDS.flatMap((word, index) =>
    SPELLINGS.map((spelling): [string, number] => [spell(word, spelling), wordToken(index, spelling)]),
  ),
);
const WORD_BYTES_MAX = Math.max(...TOKEN_BYTES.map((bytes) => bytes.length));

/** Throws RangeError for an id outside the vocabulary. */
export function tokenBytes(token: number): Uint8Array {
  const bytes = TOKEN_BYTES[token];
  if (bytes === undefined) {
    throw new RangeError(`token id ${token} is outside the vocabulary of 0 to ${VOCABULARY_SIZE - 1}`);
  }
  return bytes;
}

/** A token as people read it; parts of characters become U+FFFD. */
export function tokenName(token: number): string {
  return SPECIAL_TOKENS[token - FIRST_SPECIAL] ?? Buffer.from(tokenBytes(token)).toString('utf8');
}

export function isSpecial(token: number): boolean {
  return token >= FIRST_SPECIAL && token < FIRST_WORD;
}

export function isWord(token: number): boolean {
  return token >= FIRST_WORD;
}

/** `parseSpecial`: whether the names of special tokens in the text become these tokens. */
export function encode(text: string, parseSpecial: boolean): number[] {
  const tokens: number[] = [];
  if (!parseSpecial) {
    encodePlain(text, tokens);
    return tokens;
  }
  let rest = text;
  while (rest !== '') {
    const next = nextSpecial(rest);
    encodePlain(next === null ? rest : rest.slice(0, next.at), tokens);
    if (next === null) break;
    tokens.push(next.token);
    rest = rest.slice(next.at + next.name.length);
  }
  return tokens;
}

function nextSpecial(text: string): { at: number; name: string; token: number } | null {
  let first: { at: number; name: string; token: number } | null = null;
  SPECIAL_TOKENS.forEach((name, index) => {
    const at = text.indexOf(name);
    if (at >= 0 && (first === null || at < first.at)) first = { at, name, token: FIRST_SPECIAL + index };
  });
  return first;
}

function isLetter(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a));
}

function encodePlain(text: string, tokens: number[]): void {
  const bytes = Buffer.from(text, 'utf8');
  // One character per byte, so that offsets into the string are offsets into the bytes.
  const latin = bytes.toString('latin1');
  let at = 0;
  while (at < bytes.length) {
    const word = wordAt(bytes, latin, at);
    if (word === null) {
      tokens.push(bytes[at++] as number);
    } else {
      tokens.push(word.token);
      at += word.length;
    }
  }
}

/** The longest word token at `at`, or null. */
function wordAt(bytes: Buffer, latin: string, at: number): { token: number; length: number } | null {
  let end = bytes[at] === SPACE ? at + 1 : at;
  const longest = Math.min(bytes.length, at + WORD_BYTES_MAX);
  while (end < longest && isLetter(bytes[end])) end++;
  for (; end > at; end--) {
    const token = WORD_IDS.get(latin.slice(at, end));
    if (token !== undefined) return { token, length: end - at };
  }
  return null;
}

/** The bytes of all tokens; special tokens give nothing. Throws RangeError for an id outside the vocabulary. */
export function decode(tokens: readonly number[]): Uint8Array {
  return Buffer.concat(tokens.map(tokenBytes));
}
