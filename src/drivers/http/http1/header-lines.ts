/** The header lines of a message (RFC 9112, section 5): for requests and responses alike, and as strict as both need. */

/** Lines that end with CR LF, of what header lines may hold. */
const LINES = /^(?:[\t\x20-\x7e\x80-\xff]+\r\n)+$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Names as they are written, in lower case; so that the usual ones are not made again for each message. */
const names = new Map<string, string>();
const NAMES_MAX = 500;
const NAME_CHARS_MAX = 50;

/** Whether a text is one line or more, each ended by CR LF and without control characters. */
export function areLines(text: string): boolean {
  return LINES.test(text);
}

/**
 * Names in lower case and values, in turn.
 * @param text lines (`areLines`); those before `from` are none of the header's.
 * @returns null when a line has no name. One that begins with a space would continue the one before: nobody agrees on how.
 */
export function headerFields(text: string, from: number): string[] | null {
  const fields: string[] = [];
  for (let at = from; at < text.length; ) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (colon < 0 || colon > end) return null;
    const name = lowerName(text.slice(at, colon));
    if (name === null) return null;
    let first = colon + 1;
    let last = end;
    while (first < last && isBlank(text.charCodeAt(first))) first++;
    while (last > first && isBlank(text.charCodeAt(last - 1))) last--;
    fields.push(name, text.slice(first, last));
    at = end + 2;
  }
  return fields;
}

function lowerName(raw: string): string | null {
  const known = names.get(raw);
  if (known !== undefined) return known;
  if (!FIELD_NAME.test(raw)) return null;
  const name = raw.toLowerCase();
  if (names.size < NAMES_MAX && raw.length <= NAME_CHARS_MAX) names.set(raw, name);
  return name;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
