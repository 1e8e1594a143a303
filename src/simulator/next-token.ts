/**
 * The pretend language model: the next token as a pure function of all tokens before it. A rolling hash over the ids stands
 * for the weights, so that a prompt that differs in one token, or a text that is cut inside a token, goes on differently, as with
 * a real model. What may follow is chosen so that greedy tokenization of the text gives the same tokens again.
 */
import { mix32 } from '../base/random.ts';
import { END_OF_TURN, isSpecial, isWord, tokenBytes, WORD_COUNT, wordToken } from './tokenizer.ts';
import { WIDE_CHARACTERS } from './words.ts';

/** All that the model remembers of the tokens before: the hash, and the last three ids (oldest first; -1 before the first). */
export interface ModelState {
  hash: number;
  last: readonly [number, number, number];
}

export function initialState(modelSeed: number): ModelState {
  return { hash: mix32(modelSeed, 0x51ed270b), last: [-1, -1, -1] };
}

export function advance(state: ModelState, token: number): ModelState {
  return { hash: mix32(state.hash, token), last: [state.last[1], state.last[2], token] };
}

export function advanceAll(state: ModelState, tokens: readonly number[]): ModelState {
  let hash = state.hash;
  for (const token of tokens) hash = mix32(hash, token);
  const last = [...state.last, ...tokens.slice(-3)].slice(-3) as [number, number, number];
  return { hash, last };
}

export interface NextTokenOptions {
  /** Chance to end is one in this many tokens. */
  meanTokens: number;
  /** False: the end-of-turn token is not chosen (`min_tokens`, `ignore_eos`). */
  mayEnd: boolean;
  /** Chance of this draw for temperature above 0: mixed from seed and position. 0 at temperature 0. */
  noise: number;
}

const WIDE_BYTES = WIDE_CHARACTERS.map((character) => Buffer.from(character, 'utf8'));
const NEWLINE = 0x0a;
const SPACE = 0x20;
const DIGIT_ZERO = 0x30;
const SENTENCE_ENDS = [...'.!?'].map((mark) => mark.charCodeAt(0));
const PAUSES = [...',;:'].map((mark) => mark.charCodeAt(0));

export function nextToken(state: ModelState, options: NextTokenOptions): number {
  const last = state.last[2];
  const draw = mix32(state.hash, options.noise, 1);
  const inside = insideCharacter(state, draw);
  if (inside !== null) return inside;
  if (isSpecial(last) || last === NEWLINE || last < 0) return wordToken(draw % WORD_COUNT, 'capital');
  if (options.mayEnd && draw % options.meanTokens === 0) return END_OF_TURN;
  const pick = mix32(state.hash, options.noise, 2);
  // A letter after a lone space would have been one token with it.
  if (last === SPACE) return pick % 3 === 0 ? DIGIT_ZERO + (pick % 10) : wideStart(pick);
  if (SENTENCE_ENDS.includes(last)) {
    return pick % 8 === 0 ? NEWLINE : wordToken(pick % WORD_COUNT, 'spaced-capital');
  }
  return afterWord(last, pick);
}

/** What follows a word, a comma, a digit or a whole wide character. */
function afterWord(last: number, pick: number): number {
  const kind = (pick >>> 8) % 100;
  if (isDigit(last) && kind < 40) return DIGIT_ZERO + (pick % 10);
  if (last >= 0x80 && last < 0x100 && kind < 30) return wideStart(pick);
  if (kind >= 90 && isWord(last)) return wideStart(pick);
  if (kind >= 84) return SPACE;
  if (!PAUSES.includes(last)) {
    if (kind >= 76) return SENTENCE_ENDS[pick % SENTENCE_ENDS.length] as number;
    if (kind >= 68) return PAUSES[pick % PAUSES.length] as number;
  }
  return wordToken(pick % WORD_COUNT, 'spaced');
}

function isDigit(token: number): boolean {
  return token >= DIGIT_ZERO && token < DIGIT_ZERO + 10;
}

function wideStart(pick: number): number {
  return (WIDE_BYTES[pick % WIDE_BYTES.length] as Buffer)[0] as number;
}

/**
 * The next byte of a UTF-8 character that is not complete yet, or null. Bytes of a character that the model does not know
 * (a prompt may end anywhere) are completed by any legal one.
 */
function insideCharacter(state: ModelState, draw: number): number | null {
  const bytes = openCharacter(state.last);
  if (bytes.length === 0) return null;
  const known = WIDE_BYTES.filter((wide) => bytes.every((byte, i) => wide[i] === byte));
  if (known.length > 0) return (known[draw % known.length] as Buffer)[bytes.length] as number;
  return 0x90 + (draw % 16);
}

/** Bytes at the end of `last` that begin a character and do not complete it. */
function openCharacter(last: ModelState['last']): number[] {
  for (let back = 1; back <= 3; back++) {
    const token = last[3 - back] as number;
    if (token < 0x80 || token > 0xff) return [];
    if (token < 0xc0) continue;
    const length = token >= 0xf0 ? 4 : token >= 0xe0 ? 3 : 2;
    return token < 0xf8 && back < length ? last.slice(3 - back) : [];
  }
  return [];
}

/** The text of tokens that form whole characters; for tests and for logs. */
export function textOf(tokens: readonly number[]): string {
  return Buffer.concat(tokens.map(tokenBytes)).toString('utf8');
}
