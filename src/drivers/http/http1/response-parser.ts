/**
 * Reads HTTP/1.1 responses from the bytes of one connection, however they are cut (RFC 9112). Strict where two readers could
 * disagree about where a message ends: a response that is framed in two ways, or in none that is allowed, is an error.
 * Chunk extensions and trailers are read and dropped. Does no I/O; `Connection` feeds it.
 */
import { areLines, headerFields } from './header-lines.ts';

export type HeaderValues = Record<string, string | string[] | undefined>;

export interface ResponseEvents {
  onHead(status: number, headers: HeaderValues): void;
  /** At most one call per fed buffer. */
  onData(bytes: Buffer): void;
  /** @param reusable whether another request may be sent on the connection. */
  onEnd(reusable: boolean): void;
}

/** The stream of bytes is not one of HTTP/1.1 responses, or not one that has a single meaning. */
export class ResponseFault extends Error {
  override name = 'ResponseFault';
}

type State =
  | 'head'
  | 'length'
  | 'chunk-size'
  | 'chunk-data'
  | 'chunk-end'
  | 'trailers'
  | 'until-close'
  | 'done';

const HEAD_BYTES_MAX = 65_536;
/** 16 hexadecimal digits are more than any length; the rest is room for an extension that is dropped. */
const CHUNK_LINE_BYTES_MAX = 4_096;
/** As many as a whole number holds exactly. */
const CHUNK_DIGITS_MAX = 13;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const LF = 0x0a;
const CR = 0x0d;

export class ResponseParser {
  readonly #events: ResponseEvents;
  #state: State = 'head';
  /** Bytes of an unfinished head or line. */
  #pending: Buffer | null = null;
  /** Bytes of the body, or of the present chunk, that are still to come. */
  #left = 0;
  #keepAlive = true;
  /** What of the fed bytes belongs to the body: start and end of each piece. */
  #pieces: number[] = [];
  /** Of the fed bytes: where the unread ones begin. */
  #at = 0;
  #trailerBytes = 0;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  /** Whether a response has been read to its end. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Throws `ResponseFault`; the connection can not be used after that. */
  feed(bytes: Buffer): void {
    this.#at = 0;
    try {
      while (this.#at < bytes.length && this.#state !== 'done') this.#step(bytes);
    } finally {
      // What was well formed before a fault belongs to the response.
      this.#flush(bytes);
    }
    if (this.#state !== 'done') return;
    // What follows a response that nobody asked for makes everything on this connection doubtful.
    this.#events.onEnd(this.#keepAlive && this.#at === bytes.length);
  }

  /** The other side has closed. Throws `ResponseFault` when that was too early. */
  close(): void {
    if (this.#state === 'until-close') {
      this.#state = 'done';
      this.#events.onEnd(false);
    } else if (this.#state !== 'done') {
      throw new ResponseFault(
        this.#state === 'head'
          ? 'closed before the response head was complete'
          : 'closed in the middle of the body',
      );
    }
  }

  /** Reads on from `#at` as far as the present state goes. */
  #step(bytes: Buffer): void {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes);
      case 'length':
      case 'chunk-data':
        return this.#readBody(bytes);
      case 'until-close':
        this.#pieces.push(this.#at, bytes.length);
        this.#at = bytes.length;
        return;
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

  #flush(bytes: Buffer): void {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    this.#events.onData(pieces.length === 2 ? bytes.subarray(pieces[0], pieces[1]) : joined(bytes, pieces));
  }

  #readHead(bytes: Buffer): void {
    const before = this.#pending?.length ?? 0;
    const all = this.#withPending(bytes);
    // Only the seam can hide a new end of the head.
    const end = all.indexOf('\r\n\r\n', Math.max(0, before - 3), 'latin1');
    if ((end < 0 ? all.length : end) > HEAD_BYTES_MAX)
      throw new ResponseFault(`a response head of more than ${HEAD_BYTES_MAX} bytes`);
    if (end < 0) {
      checkStart(all);
      this.#pending = all;
      this.#at = bytes.length;
      return;
    }
    this.#at += end + 4 - before;
    this.#takeHead(all.toString('latin1', 0, end + 2));
  }

  /** What is unread, behind what was kept of the last bytes; nothing is kept after this. */
  #withPending(bytes: Buffer): Buffer {
    const rest = this.#at === 0 ? bytes : bytes.subarray(this.#at);
    const all = this.#pending === null ? rest : Buffer.concat([this.#pending, rest]);
    this.#pending = null;
    return all;
  }

  #takeHead(text: string): void {
    const lineEnd = text.indexOf('\r\n');
    const status = STATUS_LINE.exec(text.slice(0, lineEnd));
    if (status === null) throw new ResponseFault('no HTTP/1.1 status line');
    const code = Number(status[2]);
    const headers = headersOf(fieldsOf(text, lineEnd + 2));
    if (code === 101) throw new ResponseFault('the engine switched protocols, which nobody asked for');
    // An interim response; the real one follows.
    if (code < 200) return;
    this.#keepAlive = keepsAlive(headers, status[1] === '1');
    this.#startBody(code, headers);
    this.#events.onHead(code, headers);
  }

  #startBody(code: number, headers: HeaderValues): void {
    const coding = headers['transfer-encoding'];
    const length = lengthOf(headers['content-length']);
    if (code === 204 || code === 304) {
      this.#state = 'done';
    } else if (coding !== undefined) {
      if (length !== null) throw new ResponseFault('both Transfer-Encoding and Content-Length');
      if (typeof coding !== 'string' || coding.trim().toLowerCase() !== 'chunked')
        throw new ResponseFault('a transfer coding other than chunked');
      this.#state = 'chunk-size';
    } else if (length !== null) {
      this.#left = length;
      this.#state = length === 0 ? 'done' : 'length';
    } else {
      this.#keepAlive = false;
      this.#state = 'until-close';
    }
  }

  #readBody(bytes: Buffer): void {
    const end = Math.min(this.#at + this.#left, bytes.length);
    this.#pieces.push(this.#at, end);
    this.#left -= end - this.#at;
    this.#at = end;
    if (this.#left === 0) this.#state = this.#state === 'length' ? 'done' : 'chunk-end';
  }

  /** The usual line, whole and of digits alone, is read where it stands: streams have one for each token. */
  #readChunkSize(bytes: Buffer): void {
    if (this.#pending === null) {
      let at = this.#at;
      let size = 0;
      for (; at < this.#at + CHUNK_DIGITS_MAX; at++) {
        const digit = hexDigit(bytes[at]);
        if (digit < 0) break;
        size = size * 16 + digit;
      }
      if (at > this.#at && bytes[at] === CR && bytes[at + 1] === LF) {
        this.#at = at + 2;
        return this.#startChunk(size);
      }
    }
    const line = this.#readLine(bytes);
    if (line !== null) this.#startChunk(chunkSizeOf(line));
  }

  #startChunk(size: number): void {
    this.#left = size;
    this.#state = size === 0 ? 'trailers' : 'chunk-data';
  }

  #readChunkEnd(bytes: Buffer): void {
    if (this.#pending === null && bytes[this.#at] === CR && bytes[this.#at + 1] === LF) {
      this.#at += 2;
    } else {
      const line = this.#readLine(bytes);
      if (line === null) return;
      if (line !== '') throw new ResponseFault('a chunk is longer than it said');
    }
    this.#state = 'chunk-size';
  }

  #readTrailer(bytes: Buffer): void {
    const line = this.#readLine(bytes);
    if (line === null) return;
    this.#trailerBytes += line.length + 2;
    if (this.#trailerBytes > HEAD_BYTES_MAX) throw new ResponseFault('trailers without end');
    if (line === '') this.#state = 'done';
    else fieldsOf(`${line}\r\n`, 0);
  }

  /** Null when the line has not ended yet. */
  #readLine(bytes: Buffer): string | null {
    const before = this.#pending?.length ?? 0;
    const all = this.#withPending(bytes);
    const end = all.indexOf(LF);
    if ((end < 0 ? all.length : end) > CHUNK_LINE_BYTES_MAX) throw new ResponseFault('a line without end');
    if (end < 0) {
      this.#pending = all;
      this.#at = bytes.length;
      return null;
    }
    if (end === 0 || all[end - 1] !== CR) throw new ResponseFault('a line that ends without CR');
    this.#at += end + 1 - before;
    return all.toString('latin1', 0, end - 1);
  }
}

/** The bytes of several pieces, given by start and end each, as one. */
function joined(bytes: Buffer, pieces: readonly number[]): Buffer {
  let length = 0;
  for (let i = 0; i < pieces.length; i += 2) length += pieces[i + 1]! - pieces[i]!;
  const whole = Buffer.allocUnsafe(length);
  let at = 0;
  for (let i = 0; i < pieces.length; i += 2) at += bytes.copy(whole, at, pieces[i], pieces[i + 1]);
  return whole;
}

/** -1 for what is none. */
function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function chunkSizeOf(line: string): number {
  const end = line.indexOf(';');
  const digits = (end < 0 ? line : line.slice(0, end)).trimEnd();
  if (digits.length > CHUNK_DIGITS_MAX || !/^[0-9a-fA-F]+$/.test(digits))
    throw new ResponseFault('a chunk without a size');
  return Number.parseInt(digits, 16);
}

/** Says early what can never become a response, instead of waiting for the end of its head. */
function checkStart(bytes: Buffer): void {
  const start = bytes.toString('latin1', 0, 7);
  if (!'HTTP/1.'.startsWith(start)) throw new ResponseFault('no HTTP/1.1 status line');
}

function fieldsOf(text: string, from: number): string[] {
  if (!areLines(text)) throw new ResponseFault('a control character in a header');
  const fields = headerFields(text, from);
  if (fields === null) throw new ResponseFault('a header line without a name');
  return fields;
}

function headersOf(fields: readonly string[]): HeaderValues {
  const headers: HeaderValues = Object.create(null) as HeaderValues;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (typeof before === 'string') headers[name] = [before, value];
    else before.push(value);
  }
  return headers;
}

/** Null without a Content-Length. */
function lengthOf(value: HeaderValues[string]): number | null {
  if (value === undefined) return null;
  const values = typeof value === 'string' ? [value] : value;
  const [first] = values as [string];
  if (!values.every((other) => other === first) || !/^\d{1,15}$/.test(first))
    throw new ResponseFault('a Content-Length that is not one number');
  return Number(first);
}

function keepsAlive(headers: HeaderValues, http11: boolean): boolean {
  if (headers.connection === undefined) return http11;
  const tokens = String(headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((token) => token.trim());
  if (tokens.includes('close')) return false;
  return http11 || tokens.includes('keep-alive');
}
