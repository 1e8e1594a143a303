/**
 * Where things stand in the JSON bytes of an answer that holds a list of numbered items, such as the vectors of embeddings: found in
 * one pass, without parsing numbers, so that the items can be handed on as the engine wrote them. Any bytes may be given: what is not
 * such an answer, to the letter, is none.
 */
import { endOfString, endOfValue, type Span, skipSpace } from './top-level-span.ts';

export interface NumberedItem extends Span {
  index: number;
  /** Of its `index`. */
  at: Span;
}

export interface ListAnswer {
  /** Of the list, brackets included. */
  list: Span;
  items: NumberedItem[];
  /** Of the values of all other top-level keys. */
  others: ReadonlyMap<string, Span>;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** @param keys of which exactly one must be there, with the list. */
export function readListAnswer(json: Buffer, keys: readonly string[]): ListAnswer | null {
  const others = new Map<string, Span>();
  let found: { list: Span; items: NumberedItem[] } | null = null;
  const end = walkObject(json, skipSpace(json, 0), (key, start) => {
    if (others.has(key) || (keys.includes(key) && found !== null)) return -1;
    if (keys.includes(key) && json[start] === OPEN_BRACKET) {
      const items: NumberedItem[] = [];
      const end = walkItems(json, start, items);
      found = { list: { start, end }, items };
      return end;
    }
    const end = endOfWhole(json, start);
    others.set(key, { start, end });
    return end;
  });
  if (end < 0 || skipSpace(json, end) !== json.length || found === null) return null;
  const { list, items } = found as Pick<ListAnswer, 'list' | 'items'>;
  return { list, items, others };
}

/** Calls `onValue` with each key and where its value begins; it says where that ends, or -1 for what is not to be. Where the object ends, or -1. */
function walkObject(json: Buffer, start: number, onValue: (key: string, start: number) => number): number {
  if (json[start] !== OPEN_BRACE) return -1;
  let at = skipSpace(json, start + 1);
  if (json[at] === CLOSE_BRACE) return at + 1;
  for (;;) {
    if (json[at] !== QUOTE) return -1;
    const keyEnd = endOfString(json, at);
    const key = json.toString('utf8', at + 1, keyEnd - 1);
    const colon = skipSpace(json, keyEnd);
    if (json[colon] !== COLON) return -1;
    const end = onValue(key, skipSpace(json, colon + 1));
    if (end < 0) return -1;
    at = skipSpace(json, end);
    if (json[at] === CLOSE_BRACE) return at + 1;
    if (json[at] !== COMMA) return -1;
    at = skipSpace(json, at + 1);
  }
}

/** Where the list ends, or -1. */
function walkItems(json: Buffer, start: number, items: NumberedItem[]): number {
  let at = skipSpace(json, start + 1);
  if (json[at] === CLOSE_BRACKET) return at + 1;
  for (;;) {
    const item = walkItem(json, at);
    if (item === null) return -1;
    items.push(item);
    at = skipSpace(json, item.end);
    if (json[at] === CLOSE_BRACKET) return at + 1;
    if (json[at] !== COMMA) return -1;
    at = skipSpace(json, at + 1);
  }
}

function walkItem(json: Buffer, start: number): NumberedItem | null {
  let at: Span | null = null;
  const end = walkObject(json, start, (key, valueStart) => {
    const valueEnd = endOfWhole(json, valueStart);
    if (key === 'index') {
      if (at !== null) return -1;
      at = { start: valueStart, end: valueEnd };
    }
    return valueEnd;
  });
  if (end < 0 || at === null) return null;
  const span = at as Span;
  const text = json.toString('latin1', span.start, span.end);
  return /^\d{1,9}$/.test(text) ? { start, end, index: Number(text), at: span } : null;
}

/** Where a value ends, or -1 where it does not. A list of numbers, as vectors are, is passed over as fast as memory is read. */
function endOfWhole(json: Buffer, start: number): number {
  if (start >= json.length) return -1;
  if (json[start] === OPEN_BRACKET) {
    const close = json.indexOf(CLOSE_BRACKET, start + 1);
    if (close < 0) return -1;
    const holdsMore = [OPEN_BRACKET, OPEN_BRACE, QUOTE].some((mark) => {
      const next = json.indexOf(mark, start + 1);
      return next >= 0 && next < close;
    });
    if (!holdsMore) return close + 1;
  }
  const end = endOfValue(json, start);
  // What runs to the end of the bytes was cut, for all of it stands inside an object.
  return end > start && end < json.length ? end : -1;
}
