/**
 * Reads HTTP/1.1 requests from the bytes of one connection, however they are cut (RFC 9112). Strict: what two readers could
 * read in two ways is refused, and whatever is accepted here means the same to Node's own parser (tests compare them). Chunk
 * extensions and trailers are read and dropped. Does no I/O; `ClientConnection` feeds it.
 *
 * One request at a time: after its end nothing more is read until `next`.
 */
import { headerFault } from '../../../wire/http/canonical-request.ts';
import { areLines, headerFields } from './header-lines.ts';

export type RequestHeaders = Readonly<Record<string, string | undefined>>;

export interface RequestHead {
  method: string;
  /** As it came: see `canonicalTarget`. */
  target: string;
  /** Names in lower case; values of one name are joined by a comma. */
  headers: RequestHeaders;
  http10: boolean;
  /** Bytes of the body; null: it comes in chunks. */
  length: number | null;
  /** Whether the client wants to send another request on the connection. */
  keepAlive: boolean;
}

export interface RequestEvents {
  onHead(head: RequestHead): void;
  onBody(bytes: Buffer): void;
  onEnd(): void;
}

/** The stream of bytes is not one of HTTP/1.1 requests, or not one that has a single meaning. */
export class RequestFault extends Error {
  override name = 'RequestFault';
  readonly kind: 'malformed' | 'head-too-large' | 'connect' | 'expectation';

  constructor(message: string, kind: RequestFault['kind'] = 'malformed') {
    super(message);
    this.kind = kind;
  }
}

type State = 'head' | 'length' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailers' | 'done';

export const HEAD_BYTES_MAX = 16_384;
const CHUNK_LINE_BYTES_MAX = 4_096;
/** As many as a whole number holds exactly. */
const CHUNK_DIGITS_MAX = 13;
const METHODS = ['GET', 'POST', 'DELETE', 'HEAD', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];
const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const CHUNK_LINE = new RegExp(`^([0-9A-Fa-f]{1,${CHUNK_DIGITS_MAX}})(?:;${TOKEN}(?:=${TOKEN})?)*$`);
const TARGET = /^[\x21-\x7e]+$/;
const CR = 0x0d;
const LF = 0x0a;

export class RequestParser {
  readonly #events: RequestEvents;
  #state: State = 'head';
  /** Bytes of an unfinished head or line. */
  #pending: Buffer | null = null;
  /** Bytes of the body, or of the present chunk, that are still to come. */
  #left = 0;
  /** Of the fed bytes: where the unread ones begin. */
  #at = 0;
  #trailerBytes = 0;

  constructor(events: RequestEvents) {
    this.#events = events;
  }

  /** A head has begun and is not complete. */
  get inHead(): boolean {
    return this.#state === 'head' && this.#pending !== null;
  }

  /** The present request has been read to its end. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Goes on to the next request. */
  next(): void {
    this.#state = 'head';
    this.#trailerBytes = 0;
  }

  /** How many bytes were read: not all of them when the request ends before. Throws `RequestFault`; nothing can be read after that. */
  feed(bytes: Buffer): number {
    this.#at = 0;
    while (this.#at < bytes.length && this.#state !== 'done') this.#step(bytes);
    return this.#at;
  }

  #step(bytes: Buffer): void {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes);
      case 'length':
      case 'chunk-data':
        return this.#readBody(bytes);
      case 'chunk-size':
        return this.#readChunkSize(bytes);
      case 'chunk-end':
        return this.#readChunkEnd(bytes);
      case 'trailers':
        return this.#readTrailer(bytes);
      case 'done':
        return;
    }
  }

  #readHead(bytes: Buffer): void {
    const before = this.#pending?.length ?? 0;
    const all = this.#withPending(bytes);
    const start = emptyLines(all);
    // Only the seam can hide a new end of the head.
    const end = all.indexOf('\r\n\r\n', Math.max(start, before - 3), 'latin1');
    if ((end < 0 ? all.length : end) > HEAD_BYTES_MAX)
      throw new RequestFault(`the header block is larger than ${HEAD_BYTES_MAX} bytes`, 'head-too-large');
    if (end < 0) {
      checkUnfinished(all, start, before);
      this.#pending = all;
      this.#at = bytes.length;
      return;
    }
    this.#at += end + 4 - before;
    this.#takeHead(all.toString('latin1', start, end + 2));
  }

  /** What is unread, behind what was kept of the last bytes; nothing is kept after this. */
  #withPending(bytes: Buffer): Buffer {
    const rest = this.#at === 0 ? bytes : bytes.subarray(this.#at);
    const all = this.#pending === null ? rest : Buffer.concat([this.#pending, rest]);
    this.#pending = null;
    return all;
  }

  #takeHead(text: string): void {
    const head = parseHead(text);
    const { length } = head;
    if (length === null) this.#state = 'chunk-size';
    else {
      this.#left = length;
      this.#state = length === 0 ? 'done' : 'length';
    }
    this.#events.onHead(head);
    if (length === 0) this.#events.onEnd();
  }

  #readBody(bytes: Buffer): void {
    const from = this.#at;
    const end = Math.min(from + this.#left, bytes.length);
    this.#left -= end - from;
    this.#at = end;
    const isChunk = this.#state === 'chunk-data';
    if (this.#left === 0) this.#state = isChunk ? 'chunk-end' : 'done';
    this.#events.onBody(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end));
    if (this.#state === 'done') this.#events.onEnd();
  }

  #readChunkSize(bytes: Buffer): void {
    const line = this.#readLine(bytes);
    if (line === null) return;
    const size = CHUNK_LINE.exec(line);
    if (size === null) throw new RequestFault('a chunk without a size');
    this.#left = Number.parseInt(size[1] as string, 16);
    this.#state = this.#left === 0 ? 'trailers' : 'chunk-data';
  }

  #readChunkEnd(bytes: Buffer): void {
    if (this.#pending === null && bytes[this.#at] !== CR)
      throw new RequestFault('a chunk is longer than it said');
    const line = this.#readLine(bytes);
    if (line === null) return;
    if (line !== '') throw new RequestFault('a chunk is longer than it said');
    this.#state = 'chunk-size';
  }

  #readTrailer(bytes: Buffer): void {
    const line = this.#readLine(bytes);
    if (line === null) return;
    this.#trailerBytes += line.length + 2;
    if (this.#trailerBytes > HEAD_BYTES_MAX) throw new RequestFault('trailers without end', 'head-too-large');
    if (line !== '') {
      checkLines(`${line}\r\n`);
      return checkTrailer(fieldsOf(`${line}\r\n`, 0)[0] as string);
    }
    this.#state = 'done';
    this.#events.onEnd();
  }

  /** Null when the line has not ended yet. */
  #readLine(bytes: Buffer): string | null {
    const before = this.#pending?.length ?? 0;
    const all = this.#withPending(bytes);
    const end = all.indexOf(LF);
    if ((end < 0 ? all.length : end) > CHUNK_LINE_BYTES_MAX) throw new RequestFault('a line without end');
    if (end < 0) {
      const cr = all.indexOf(CR);
      if (cr >= 0 && cr < all.length - 1) throw new RequestFault('a line that ends without LF');
      this.#pending = all;
      this.#at = bytes.length;
      return null;
    }
    if (end === 0 || all[end - 1] !== CR) throw new RequestFault('a line that ends without CR');
    this.#at += end + 1 - before;
    return all.toString('latin1', 0, end - 1);
  }
}

/** Where the request line begins: old clients end a body with a line of their own. */
function emptyLines(bytes: Buffer): number {
  let start = 0;
  while (bytes[start] === CR && bytes[start + 1] === LF) start += 2;
  return start;
}

/** Says early what can never become a request, instead of waiting for the end of its head. */
function checkUnfinished(bytes: Buffer, start: number, checked: number): void {
  const begun = bytes.toString('latin1', start, start + 9);
  if (begun !== '' && begun !== '\r' && !METHODS.some((method) => beginsAlike(`${method} `, begun)))
    throw new RequestFault('not a valid HTTP/1.1 request');
  for (let at = bytes.indexOf(LF, checked); at >= 0; at = bytes.indexOf(LF, at + 1))
    if (at === 0 || bytes[at - 1] !== CR) throw new RequestFault('a line that ends without CR');
}

function beginsAlike(a: string, b: string): boolean {
  return a.length < b.length ? b.startsWith(a) : a.startsWith(b);
}

function checkLines(text: string): void {
  if (!areLines(text)) throw new RequestFault('a control character in the header block');
}

/** @param text all lines of the head, each with its CR LF. */
function parseHead(text: string): RequestHead {
  checkLines(text);
  const lineEnd = text.indexOf('\r\n');
  const methodEnd = text.indexOf(' ');
  const method = text.slice(0, Math.max(0, methodEnd));
  if (!METHODS.includes(method)) throw new RequestFault('not a valid HTTP/1.1 request');
  const targetEnd = text.indexOf(' ', methodEnd + 1);
  const version = text.slice(targetEnd + 1, lineEnd);
  if (targetEnd < 0 || targetEnd > lineEnd || (version !== 'HTTP/1.1' && version !== 'HTTP/1.0'))
    throw new RequestFault('the request line does not end with HTTP/1.1');
  const target = text.slice(methodEnd + 1, targetEnd);
  if (!TARGET.test(target)) throw new RequestFault('the request target is no text without spaces');
  if (method === 'CONNECT') throw new RequestFault('CONNECT is not offered', 'connect');
  const http10 = version === 'HTTP/1.0';
  const fields = fieldsOf(text, lineEnd + 2);
  const headers = headersOf(fields);
  const fault =
    http10 || headers.host !== undefined ? headerFault(fields, http10 ? '1.0' : '1.1') : 'no Host header';
  if (fault !== null) throw new RequestFault(fault);
  const length = lengthOf(headers);
  if (length !== 0 && (method === 'GET' || method === 'HEAD'))
    throw new RequestFault(`a ${method} request with a body`);
  const connection = tokensOf(headers.connection);
  if (headers.upgrade !== undefined && connection.includes('upgrade'))
    throw new RequestFault('protocol upgrades are not offered');
  checkExpectation(headers.expect);
  const keepAlive = !connection.includes('close') && (!http10 || connection.includes('keep-alive'));
  return { method, target, headers, http10, length, keepAlive };
}

function fieldsOf(text: string, from: number): string[] {
  const fields = headerFields(text, from);
  if (fields === null) throw new RequestFault('a header line without a name');
  return fields;
}

function headersOf(fields: readonly string[]): RequestHeaders {
  const headers = Object.create(null) as Record<string, string | undefined>;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return headers;
}

/** Null: in chunks. */
function lengthOf(headers: RequestHeaders): number | null {
  const length = headers['content-length'];
  if (headers['transfer-encoding'] !== undefined) {
    if (length !== undefined) throw new RequestFault('both Transfer-Encoding and Content-Length');
    return null;
  }
  if (length === undefined) return 0;
  if (!/^\d{1,15}$/.test(length))
    throw new RequestFault(`Content-Length "${length.slice(0, 40)}" is no number`);
  return Number(length);
}

const NO_TOKENS: readonly string[] = [];

function tokensOf(value: string | undefined): readonly string[] {
  if (value === undefined || value === 'keep-alive') return value === undefined ? NO_TOKENS : [value];
  return value
    .toLowerCase()
    .split(',')
    .map((token) => token.trim());
}

function checkExpectation(expect: string | undefined): void {
  if (expect === undefined || expect.toLowerCase() === '100-continue') return;
  throw new RequestFault(`Expect "${expect.slice(0, 60)}"; only "100-continue" is understood`, 'expectation');
}

/** Fields of which the message itself is made may not come after it. */
function checkTrailer(name: string): void {
  if (name === 'content-length' || name === 'transfer-encoding' || name === 'host')
    throw new RequestFault(`"${name}" in the trailers`);
}
