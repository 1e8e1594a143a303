/**
 * Finds where a top-level key's value stands in JSON bytes, so that one value can be replaced and every other byte stays as
 * the client sent it. The caller has parsed the same bytes before, so they are known to be valid JSON.
 */
export interface Span {
  /** Offset of the first byte of the value. */
  start: number;
  /** Offset after its last byte. */
  end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;

/** The values of every top-level occurrence of `key`; JSON.parse lets the last one win, other parsers may not. */
export function topLevelSpans(json: Buffer, key: string): Span[] {
  const spans: Span[] = [];
  let i = skipSpace(json, 0);
  if (json[i] !== OPEN_BRACE) return spans;
  i = skipSpace(json, i + 1);
  while (i < json.length && json[i] !== CLOSE_BRACE) {
    const keyEnd = endOfString(json, i);
    const name = JSON.parse(json.toString('utf8', i, keyEnd)) as string;
    i = skipSpace(json, keyEnd);
    if (json[i] !== COLON) return spans;
    const start = skipSpace(json, i + 1);
    const end = endOfValue(json, start);
    if (name === key) spans.push({ start, end });
    i = skipSpace(json, end);
    if (json[i] === COMMA) i = skipSpace(json, i + 1);
  }
  return spans;
}

/** `json` with the value of top-level `key` replaced wherever it occurs; unchanged when it does not. */
export function replaceTopLevel(json: Buffer, key: string, value: unknown): Buffer {
  const spans = topLevelSpans(json, key);
  if (spans.length === 0) return json;
  const replacement = Buffer.from(JSON.stringify(value));
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end } of spans) {
    parts.push(json.subarray(from, start), replacement);
    from = end;
  }
  parts.push(json.subarray(from));
  return Buffer.concat(parts);
}

/** `json`, an object, with those of `fields` that it lacks put in front of its own. */
export function addTopLevel(json: Buffer, fields: Readonly<Record<string, unknown>>): Buffer {
  const missing = Object.entries(fields).filter(([key]) => topLevelSpans(json, key).length === 0);
  const brace = skipSpace(json, 0);
  if (missing.length === 0 || json[brace] !== OPEN_BRACE) return json;
  const isEmpty = json[skipSpace(json, brace + 1)] === CLOSE_BRACE;
  const text = missing.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
  const added = Buffer.from(isEmpty ? text : `${text},`);
  return Buffer.concat([json.subarray(0, brace + 1), added, json.subarray(brace + 1)]);
}

export function skipSpace(json: Buffer, from: number): number {
  let i = from;
  while (i < json.length) {
    const byte = json[i];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    i++;
  }
  return i;
}

export function endOfString(json: Buffer, start: number): number {
  let i = start + 1;
  while (i < json.length) {
    const quote = json.indexOf(QUOTE, i);
    if (quote < 0) return json.length;
    let slashes = 0;
    while (json[quote - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote + 1;
    i = quote + 1;
  }
  return json.length;
}

export function endOfValue(json: Buffer, start: number): number {
  const first = json[start];
  if (first === QUOTE) return endOfString(json, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
    let i = start;
    while (i < json.length && !endsScalar(json[i] as number)) i++;
    return i;
  }
  let depth = 0;
  let i = start;
  while (i < json.length) {
    const byte = json[i];
    if (byte === QUOTE) {
      i = endOfString(json, i);
      continue;
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return i + 1;
    }
    i++;
  }
  return i;
}

function endsScalar(byte: number): boolean {
  return (
    byte === COMMA ||
    byte === CLOSE_BRACE ||
    byte === CLOSE_BRACKET ||
    byte === 0x20 ||
    byte === 0x0a ||
    byte === 0x0d ||
    byte === 0x09
  );
}
