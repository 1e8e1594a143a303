/** One request and its answer on a client's connection, as planes see them. */
import type { Socket } from 'node:net';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { RequestHead, RequestHeaders } from '../http1/request-parser.ts';
import type { RequestBody } from './request-body.ts';
import { responseHead } from './response-head.ts';

/** What an exchange needs of the connection that it runs on. */
export interface ConnectionSide {
  readonly socket: Socket;
  /** Value of Keep-Alive for this answer; null: the connection is closed after it. */
  keepAliveFor(): string | null;
  /** The head of the answer says that the connection is closed after it. */
  closeAfterAnswer(): void;
  /** The whole answer has been handed to the system. */
  onAnswered(): void;
}

/** Answers up to this size travel in one piece with their head. */
const ONE_WRITE_BYTES_MAX = 65_536;
const LAST_CHUNK = '0\r\n\r\n';
const EMPTY = Buffer.alloc(0);

export class SocketExchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: RequestHeaders;
  readonly #connection: ConnectionSide;
  readonly #socket: Socket;
  readonly #head: RequestHead;
  readonly #body: RequestBody;
  #goneListener: (() => void) | null = null;
  #finishedListeners: (() => void)[] | null = null;
  #gone = false;
  #headSent = false;
  #chunked = false;
  #ended = false;
  #finished = false;

  constructor(
    connection: ConnectionSide,
    head: RequestHead,
    body: RequestBody,
    { path, query }: { path: string; query: string },
  ) {
    this.#connection = connection;
    this.#socket = connection.socket;
    this.#head = head;
    this.#body = body;
    this.method = head.method;
    this.headers = head.headers;
    this.path = path;
    this.query = query;
  }

  get fromLoopback(): boolean {
    const address = this.#socket.remoteAddress ?? '';
    return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
  }

  get clientGone(): boolean {
    return this.#gone;
  }

  get headSent(): boolean {
    return this.#headSent;
  }

  get pendingBytes(): number {
    return this.#ended && this.#finished ? 0 : this.#socket.writableLength;
  }

  onClientGone(listener: () => void): void {
    this.#goneListener = listener;
  }

  readBody(bytesMax: number): Promise<Buffer> {
    return this.#body.read(bytesMax);
  }

  bodyChunks(bytesMax: number): AsyncIterable<Buffer> {
    return this.#body.chunks(bytesMax);
  }

  sendHead(status: number, headers: Record<string, string>): void {
    if (this.#gone || this.#headSent) return;
    const framed = 'content-length' in headers || this.method === 'HEAD' || status === 204 || status === 304;
    this.#chunked = !this.#head.http10 && !framed;
    // Only its end tells an old client where the answer ends.
    if (this.#head.http10 && !framed) this.#connection.closeAfterAnswer();
    const keepAlive = this.#connection.keepAliveFor();
    this.#write(responseHead(status, headers, { length: null, chunked: this.#chunked, keepAlive }));
    this.#headSent = true;
  }

  write(chunk: Uint8Array | string): boolean {
    if (this.#gone || this.#ended || chunk.length === 0 || this.method === 'HEAD') return true;
    return this.#socket.write(this.#chunked ? chunkOf(chunk, '') : chunk);
  }

  onDrain(listener: () => void): void {
    this.#socket.once('drain', listener);
  }

  end(chunk?: Uint8Array | string): void {
    if (this.#gone || this.#ended) return;
    if (chunk !== undefined && chunk.length > 0 && this.#chunked) {
      this.#socket.write(chunkOf(chunk, LAST_CHUNK));
    } else {
      if (chunk !== undefined) this.write(chunk);
      if (this.#chunked) this.#socket.write(LAST_CHUNK, 'latin1');
    }
    this.#onWritten();
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    if (this.#gone) return;
    if (this.#headSent) throw new Error('the head of the answer was sent already');
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    const keepAlive = this.#connection.keepAliveFor();
    const head = responseHead(status, headers, { length, chunked: false, keepAlive });
    this.#headSent = true;
    if (length === 0 || this.method === 'HEAD') this.#write(head);
    else if (length <= ONE_WRITE_BYTES_MAX) this.#socket.write(joined(head, body, length));
    else {
      this.#socket.cork();
      this.#write(head);
      this.#socket.write(body);
      this.#socket.uncork();
    }
    this.#onWritten();
  }

  onFinished(listener: () => void): void {
    if (this.#finished || this.#gone) listener();
    else if (this.#finishedListeners === null) this.#finishedListeners = [listener];
    else this.#finishedListeners.push(listener);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The connection is gone. */
  lose(): void {
    if (this.#finished || this.#gone) return;
    this.#gone = true;
    this.#goneListener?.();
    this.#tellFinished();
  }

  #write(head: string): void {
    this.#socket.write(head, 'latin1');
  }

  #onWritten(): void {
    this.#ended = true;
    // The usual answer was taken by the system within the write.
    if (this.#socket.writableLength === 0) this.#finish();
    else
      this.#socket.write(EMPTY, (lost) => {
        if (!lost) this.#finish();
      });
  }

  #finish(): void {
    if (this.#finished || this.#gone) return;
    this.#finished = true;
    this.#tellFinished();
    this.#connection.onAnswered();
  }

  #tellFinished(): void {
    const listeners = this.#finishedListeners;
    this.#finishedListeners = null;
    if (listeners !== null) for (const listener of listeners) listener();
  }
}

/** A chunk of chunked transfer coding (RFC 9112, 7.1) that holds at least one byte, and what follows it. */
function chunkOf(data: Uint8Array | string, after: string): Buffer {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const { length } = bytes;
  const digits = Math.ceil((32 - Math.clz32(length)) / 4);
  const framed = Buffer.allocUnsafe(digits + length + 4 + after.length);
  // Byte by byte: a call to write a handful of them costs more than all of this.
  for (let at = digits - 1, rest = length; at >= 0; at--, rest >>>= 4) framed[at] = HEX_DIGITS[rest & 15]!;
  framed[digits] = CR;
  framed[digits + 1] = LF;
  framed.set(bytes, digits + 2);
  const end = digits + 2 + length;
  framed[end] = CR;
  framed[end + 1] = LF;
  if (after !== '') framed.write(after, end + 2, 'latin1');
  return framed;
}

const HEX_DIGITS = Buffer.from('0123456789abcdef');
const CR = 0x0d;
const LF = 0x0a;

function joined(head: string, body: Uint8Array | string, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(head.length + length);
  bytes.write(head, 0, 'latin1');
  if (typeof body === 'string') bytes.write(body, head.length, 'utf8');
  else bytes.set(body, head.length);
  return bytes;
}
