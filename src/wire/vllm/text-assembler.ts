/**
 * From tokens to text that may leave: incremental decoding and stop strings, as a pure state machine per choice.
 *
 * Invariants: text leaves only at points where all tokens so far decode to complete characters, so an event carries whole
 * tokens and its text can be tokenized again at the same border; a token that could begin a stop string is held back whole
 * until that is decided; joined, the pieces are the decoded text, cut before the stop string, without a character that the
 * end left incomplete.
 */
import type { GeneratedToken } from '../../contract/ports/engine-core.ts';

export interface AssemblerOptions {
  /** Non-empty strings that end the text. */
  stop: readonly string[];
  /** The text then ends with the stop string instead of before it. */
  includeStop: boolean;
  /** Stop strings that end within the first so many tokens do not count. */
  minTokens: number;
}

/** Text that may leave, with the tokens that it is made of. The text may be empty: special tokens have none. */
export interface Emission {
  text: string;
  tokens: GeneratedToken[];
}

/** The fewest tokens that decode to whole characters. */
interface Unit {
  text: string;
  tokens: GeneratedToken[];
}

export class TextAssembler {
  readonly #options: AssemblerOptions;
  readonly #longestStop: number;
  /** Tokens that end inside a character. */
  #open: GeneratedToken[] = [];
  /** Units that could begin a stop string. */
  #held: Unit[] = [];
  #count = 0;
  #stoppedBy: string | null = null;

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#longestStop = Math.max(0, ...options.stop.map((stop) => stop.length));
  }

  /** The stop string that was found; nothing may be pushed from then on. */
  get stoppedBy(): string | null {
    return this.#stoppedBy;
  }

  /** Tokens pushed so far. After a stop string: up to the one that completed it. */
  get tokenCount(): number {
    return this.#count;
  }

  /** Takes the tokens of one step; tokens after a found stop string are dropped. */
  push(tokens: readonly GeneratedToken[]): Emission[] {
    const out: Emission[] = [];
    for (const token of tokens) {
      if (this.#stoppedBy !== null) break;
      this.#count++;
      this.#open.push(token);
      const text = decodeWhole(this.#open);
      if (text === null) continue;
      this.#held.push({ text, tokens: this.#open });
      this.#open = [];
      if (this.#options.stop.length === 0) out.push(...this.#held.splice(0));
      else out.push(...this.#release(text.length));
    }
    return out;
  }

  /** What is still held, when generation ended by itself. An incomplete character gives no text, but its tokens are reported. */
  finish(): Emission[] {
    if (this.#stoppedBy !== null) return [];
    const out: Emission[] = this.#held.splice(0);
    if (this.#open.length > 0) {
      out.push({ text: decodeBroken(this.#open), tokens: this.#open });
      this.#open = [];
    }
    return out;
  }

  #release(newChars: number): Emission[] {
    const text = this.#held.map((unit) => unit.text).join('');
    if (this.#count > this.#options.minTokens) {
      const found = this.#find(text, newChars);
      if (found !== null) return this.#cut(text, found);
    }
    let free = text.length - this.#beginning(text);
    const out: Emission[] = [];
    for (let unit = this.#held[0]; unit !== undefined && unit.text.length <= free; unit = this.#held[0]) {
      free -= unit.text.length;
      out.push(unit);
      this.#held.shift();
    }
    return out;
  }

  /** The stop string that begins first among those that end in the new text; of two at one place the longer. */
  #find(text: string, newChars: number): { start: number; stop: string } | null {
    let best: { start: number; stop: string } | null = null;
    for (const stop of this.#options.stop) {
      const start = text.indexOf(stop, Math.max(0, text.length - newChars - stop.length + 1));
      if (start < 0) continue;
      if (best === null || start < best.start || (start === best.start && stop.length > best.stop.length)) {
        best = { start, stop };
      }
    }
    return best;
  }

  #cut(text: string, { start, stop }: { start: number; stop: string }): Emission[] {
    this.#stoppedBy = stop;
    const end = this.#options.includeStop ? start + stop.length : start;
    const out: Emission[] = [];
    let offset = 0;
    for (const unit of this.#held.splice(0)) {
      out.push({
        text: text.slice(offset, Math.max(offset, Math.min(end, offset + unit.text.length))),
        tokens: unit.tokens,
      });
      offset += unit.text.length;
    }
    return out;
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  #beginning(text: string): number {
    for (let length = Math.min(this.#longestStop - 1, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#options.stop.some((stop) => stop.length > length && stop.startsWith(end))) return length;
    }
    return 0;
  }
}

// A byte order mark is text like any other here.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function joinBytes(tokens: readonly GeneratedToken[]): Uint8Array {
  if (tokens.length === 1) return (tokens[0] as GeneratedToken).bytes;
  const joined = new Uint8Array(tokens.reduce((sum, token) => sum + token.bytes.length, 0));
  let offset = 0;
  for (const token of tokens) {
    joined.set(token.bytes, offset);
    offset += token.bytes.length;
  }
  return joined;
}

/** The text of the tokens, or null while the last character could still be completed. */
function decodeWhole(tokens: readonly GeneratedToken[]): string | null {
  const bytes = joinBytes(tokens);
  return incompleteBytes(bytes) > 0 ? null : decoder.decode(bytes);
}

function decodeBroken(tokens: readonly GeneratedToken[]): string {
  const bytes = joinBytes(tokens);
  return decoder.decode(bytes.subarray(0, bytes.length - incompleteBytes(bytes)));
}

/** How many bytes at the end are the valid beginning of a longer UTF-8 character (Unicode 16, table 3-7). */
export function incompleteBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const lead = bytes[bytes.length - back] as number;
    if (lead >= 0x80 && lead < 0xc0) continue;
    const length =
      lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 1;
    if (length <= back) return 0;
    return back === 1 || secondByteFits(lead, bytes[bytes.length - back + 1] as number) ? back : 0;
  }
  return 0;
}

/** Some leads allow only part of the continuation bytes next: no overlong forms, no surrogates, nothing above U+10FFFF. */
function secondByteFits(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second < 0x90;
  return true;
}
