/** The head of an answer as text: status line, headers, and how the body is framed. */
import { STATUS_CODES } from 'node:http';

export interface Framing {
  /** Bytes of the body; null: it comes in chunks, or until the connection closes. */
  length: number | null;
  chunked: boolean;
  /** Value of Keep-Alive; null: the connection is closed after this answer. */
  keepAlive: string | null;
}

/** Throws TypeError for a header that would end itself and begin another. */
export function responseHead(
  status: number,
  headers: Readonly<Record<string, string>>,
  { length, chunked, keepAlive }: Framing,
): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
  for (const name in headers) {
    const value = headers[name] as string;
    if (!isFieldName(name) || FORBIDDEN.test(value))
      throw new TypeError(`the header ${JSON.stringify(name)} holds what no header may hold`);
    head += `${name}: ${value}\r\n`;
  }
  if (length !== null) head += `content-length: ${length}\r\n`;
  else if (chunked) head += 'transfer-encoding: chunked\r\n';
  const connection =
    keepAlive === null ? 'connection: close' : `connection: keep-alive\r\nkeep-alive: ${keepAlive}`;
  return `${head}date: ${dateText()}\r\n${connection}\r\n\r\n`;
}

const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Names that were found good; there are few, all of them ours. */
const goodNames = new Set<string>();
const GOOD_NAMES_MAX = 500;

function isFieldName(name: string): boolean {
  if (goodNames.has(name)) return true;
  if (!FIELD_NAME.test(name)) return false;
  if (goodNames.size < GOOD_NAMES_MAX) goodNames.add(name);
  return true;
}

let dateSecond = 0;
let date = '';

function dateText(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(second * 1_000).toUTCString();
  }
  return date;
}
