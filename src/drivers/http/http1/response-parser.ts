/**
 * Reads HTTP/1.1 responses from the bytes of one connection, however they are cut (RFC 9112). Strict where two readers could
 * disagree about where a message ends: a response that is framed in two ways, or in none that is allowed, is an error.
 * Chunk extensions and trailers are read and dropped. Does no I/O; `Connection` feeds it.
 */

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
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a field value may not hold.
const FORBIDDEN_IN_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;
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
  #pieces: Buffer[] = [];
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
    let rest: Buffer | null = bytes;
    try {
      while (rest !== null && rest.length > 0 && this.#state !== 'done') rest = this.#step(rest);
    } finally {
      // What was well formed before a fault belongs to the response.
      this.#flush();
    }
    if (this.#state !== 'done') return;
    // What follows a response that nobody asked for makes everything on this connection doubtful.
    this.#events.onEnd(this.#keepAlive && (rest === null || rest.length === 0));
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

  /** Reads as far as the present state goes; null when more bytes are needed. */
  #step(bytes: Buffer): Buffer | null {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes);
      case 'length':
      case 'chunk-data':
        return this.#readBody(bytes);
      case 'until-close':
        this.#pieces.push(bytes);
        return null;
      case 'chunk-size':
        return this.#readLine(bytes, (line) => this.#startChunk(line));
      case 'chunk-end':
        return this.#readLine(bytes, (line) => {
          if (line !== '') throw new ResponseFault('a chunk is longer than it said');
          this.#state = 'chunk-size';
        });
      case 'trailers':
        return this.#readLine(bytes, (line) => this.#takeTrailer(line));
      case 'done':
        return bytes;
    }
  }

  #flush(): void {
    if (this.#pieces.length === 0) return;
    const [first] = this.#pieces as [Buffer];
    const bytes = this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#events.onData(bytes);
  }

  #readHead(bytes: Buffer): Buffer | null {
    const all = this.#pending === null ? bytes : Buffer.concat([this.#pending, bytes]);
    // Only the seam can hide a new end of the head.
    const from = Math.max(0, (this.#pending?.length ?? 0) - 3);
    const end = all.indexOf('\r\n\r\n', from, 'latin1');
    if ((end < 0 ? all.length : end) > HEAD_BYTES_MAX)
      throw new ResponseFault(`a response head of more than ${HEAD_BYTES_MAX} bytes`);
    if (end < 0) {
      checkStart(all);
      this.#pending = all;
      return null;
    }
    this.#pending = null;
    this.#takeHead(all.toString('latin1', 0, end));
    return all.subarray(end + 4);
  }

  #takeHead(text: string): void {
    const lines = text.split('\r\n');
    const status = STATUS_LINE.exec(lines[0] as string);
    if (status === null) throw new ResponseFault('no HTTP/1.1 status line');
    const code = Number(status[2]);
    const headers = readFields(lines);
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

  #readBody(bytes: Buffer): Buffer | null {
    const take = Math.min(this.#left, bytes.length);
    this.#pieces.push(take === bytes.length ? bytes : bytes.subarray(0, take));
    this.#left -= take;
    if (this.#left > 0) return null;
    this.#state = this.#state === 'length' ? 'done' : 'chunk-end';
    return bytes.subarray(take);
  }

  #startChunk(line: string): void {
    const end = line.indexOf(';');
    const digits = (end < 0 ? line : line.slice(0, end)).trimEnd();
    if (!/^[0-9a-fA-F]{1,13}$/.test(digits)) throw new ResponseFault('a chunk without a size');
    this.#left = Number.parseInt(digits, 16);
    this.#state = this.#left === 0 ? 'trailers' : 'chunk-data';
  }

  #takeTrailer(line: string): void {
    this.#trailerBytes += line.length + 2;
    if (this.#trailerBytes > HEAD_BYTES_MAX) throw new ResponseFault('trailers without end');
    if (line === '') this.#state = 'done';
    else splitField(line);
  }

  #readLine(bytes: Buffer, take: (line: string) => void): Buffer | null {
    const all = this.#pending === null ? bytes : Buffer.concat([this.#pending, bytes]);
    const end = all.indexOf(LF);
    if ((end < 0 ? all.length : end) > CHUNK_LINE_BYTES_MAX) throw new ResponseFault('a line without end');
    if (end < 0) {
      this.#pending = all;
      return null;
    }
    this.#pending = null;
    if (end === 0 || all[end - 1] !== CR) throw new ResponseFault('a line that ends without CR');
    take(all.toString('latin1', 0, end - 1));
    return all.subarray(end + 1);
  }
}

/** Says early what can never become a response, instead of waiting for the end of its head. */
function checkStart(bytes: Buffer): void {
  const start = bytes.toString('latin1', 0, 7);
  if (!'HTTP/1.'.startsWith(start)) throw new ResponseFault('no HTTP/1.1 status line');
}

function readFields(lines: readonly string[]): HeaderValues {
  const headers: HeaderValues = Object.create(null) as HeaderValues;
  for (let index = 1; index < lines.length; index++) {
    const [name, value] = splitField(lines[index] as string);
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (typeof before === 'string') headers[name] = [before, value];
    else before.push(value);
  }
  return headers;
}

function splitField(line: string): [name: string, value: string] {
  const colon = line.indexOf(':');
  const name = line.slice(0, Math.max(0, colon));
  // A line that begins with a space would continue the one before: nobody agrees on how.
  if (!FIELD_NAME.test(name)) throw new ResponseFault('a header line without a name');
  const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');
  if (FORBIDDEN_IN_VALUE.test(value)) throw new ResponseFault('a control character in a header');
  return [name.toLowerCase(), value];
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
  const tokens = String(headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((token) => token.trim());
  if (tokens.includes('close')) return false;
  return http11 || tokens.includes('keep-alive');
}
