/**
 * One connection of a client: reads one request after the other off it, and hands each to the plane. Owner of the socket;
 * answers what is no request itself. What comes behind a request that is not answered yet stays unread, and bounded.
 *
 * States: `open` (between requests, or one is under way), `closing` (the last answer is out; what still comes is thrown away
 * until the client closes, for a moment), `closed`.
 */
import type { Socket } from 'node:net';
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../../../contract/errors.ts';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { canonicalTarget } from '../../../wire/http/canonical-request.ts';
import { openAiError } from '../../../wire/openai/error-object.ts';
import {
  type RequestEvents,
  RequestFault,
  type RequestHead,
  RequestParser,
} from '../http1/request-parser.ts';
import { type BodyLimits, type BodySource, RequestBody } from './request-body.ts';
import { responseHead } from './response-head.ts';
import { type ConnectionSide, SocketExchange } from './socket-exchange.ts';

export interface ConnectionOptions {
  handle(exchange: HttpExchange): void;
  limits: BodyLimits;
  headersTimeoutMs: number;
  keepAliveTimeoutMs: number;
  /** From here on each answer carries `Connection: close`. */
  isClosing(): boolean;
}

/** Bytes of requests to come that are kept while one is under way. */
const AHEAD_BYTES_MAX = 65_536;
/** Clients are told a shorter time than they have, so that they do not send into a connection that is just being closed. */
const KEEP_ALIVE_GRACE_MS = 1_000;
/** How long a client has to close its side after the last answer, and how much of what it still sends is thrown away. */
const LINGER_MS = 2_000;
const LINGER_BYTES_MAX = 64 * 1024 * 1024;

export class ClientConnection implements ConnectionSide, BodySource, RequestEvents {
  readonly socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #parser = new RequestParser(this);
  readonly #keepAlive: string;
  #state: 'open' | 'closing' | 'closed' = 'open';
  /** The request under way; set until it is answered. */
  #exchange: SocketExchange | null = null;
  /** Of the request that was read last. */
  #body: RequestBody | null = null;
  #rest: Buffer | null = null;
  #reading = false;
  #mayKeepAlive = true;
  #wantsContinue = false;
  /** What came is no HTTP any more: nothing of it is read. */
  #broken = false;
  #lingerBytes = 0;
  /** When the connection is given up between requests, or while it closes; monotonic. */
  #lateAtMs: number;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.socket = socket;
    this.#options = options;
    this.#keepAlive = `timeout=${Math.ceil(options.keepAliveTimeoutMs / 1_000)}`;
    this.#lateAtMs = performance.now() + options.headersTimeoutMs;
    socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => {});
    socket.on('close', () => this.#onClose());
  }

  /** To be called about once a second: gives up what takes too long. */
  check(nowMs: number): void {
    const body = this.#body;
    if (this.#state === 'open' && body !== null && !body.complete) {
      if (nowMs > body.lateAtMs || body.isTooSlow()) this.#onLateBody(body);
    } else if (this.#state !== 'closed' && this.#exchange === null && nowMs > this.#lateAtMs) {
      if (this.#state === 'closing') this.socket.destroy();
      else if (this.#parser.inHead) this.#refuse('request_timeout', 'the request did not arrive in time');
      else this.#close();
    }
  }

  /** Ends the connection if no request is under way. */
  closeIfIdle(): void {
    if (this.#state === 'open' && this.#exchange === null && !this.#parser.inHead) this.#close();
  }

  // --- of the socket

  #onData(bytes: Buffer): void {
    if (this.#state !== 'open' || this.#broken) {
      this.#lingerBytes += bytes.length;
      if (this.#lingerBytes > LINGER_BYTES_MAX) this.socket.destroy();
      return;
    }
    this.#rest = this.#rest === null ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#read();
  }

  /** A client that closes its side has left: nothing that it asked for is of use any more. */
  #onEnd(): void {
    if (this.#state !== 'closing') this.socket.destroy();
  }

  #onClose(): void {
    this.#state = 'closed';
    this.#rest = null;
    this.#body?.lose();
    this.#exchange?.lose();
    this.#exchange = null;
  }

  // --- reading

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#rest !== null && this.#state === 'open' && !this.#broken && !this.#parser.done) {
        const bytes: Buffer = this.#rest;
        this.#rest = null;
        if (this.#body === null && !this.#parser.inHead)
          this.#lateAtMs = performance.now() + this.#options.headersTimeoutMs;
        const read = this.#parser.feed(bytes);
        if (read < bytes.length) this.#rest = bytes.subarray(read);
      }
    } catch (error) {
      if (!(error instanceof RequestFault)) throw error;
      this.#onFault(error);
    } finally {
      this.#reading = false;
    }
    if (this.#rest !== null && this.#rest.length > AHEAD_BYTES_MAX) this.socket.pause();
  }

  onHead(head: RequestHead): void {
    const target = canonicalTarget(head.target, head.headers.host);
    if ('refused' in target) throw new RequestFault(target.refused);
    this.#mayKeepAlive = head.keepAlive;
    this.#wantsContinue = head.headers.expect !== undefined && !head.http10 && head.length !== 0;
    const body = new RequestBody(head, this, this.#options.limits);
    const exchange = new SocketExchange(this, head, body, target);
    this.#body = body;
    this.#exchange = exchange;
    this.#options.handle(exchange);
  }

  onBody(bytes: Buffer): void {
    this.#wantsContinue = false;
    this.#body?.push(bytes);
  }

  onEnd(): void {
    this.#body?.end();
    // From here on only the departure of the client is waited for.
    if (this.socket.isPaused()) this.socket.resume();
    if (this.#exchange === null) this.#goOn();
  }

  #onFault(fault: RequestFault): void {
    this.#broken = true;
    this.#rest = null;
    const { code, status } = refusalOf(fault);
    if (this.#exchange === null && (this.#body === null || this.#body.complete))
      return this.#refuse(code, fault.message, status);
    // A body that breaks off is the end of its own request, whose reader says so.
    if (this.#body?.fail(new PlatformError(code, fault.message)) !== true) this.socket.destroy();
  }

  #onLateBody(body: RequestBody): void {
    const message = 'the body of the request did not arrive in time';
    if (body.fail(new PlatformError('request_timeout', message))) return;
    // What is left of an answer that is under way is of no use without the body either.
    const exchange = this.#exchange;
    if (exchange === null || exchange.headSent) {
      this.socket.destroy();
      return;
    }
    this.#exchange = null;
    this.#refuse('request_timeout', message);
    exchange.lose();
  }

  // --- of the body

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    if (this.#state !== 'closed') this.socket.resume();
  }

  sendContinue(): void {
    if (!this.#wantsContinue) return;
    this.#wantsContinue = false;
    this.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  destroy(): void {
    this.socket.destroy();
  }

  // --- of the answer

  keepAliveFor(): string | null {
    // Nobody knows whether a client that was not told to go on sends its body all the same.
    if (this.#options.isClosing() || this.#wantsContinue) this.#mayKeepAlive = false;
    return this.#mayKeepAlive ? this.#keepAlive : null;
  }

  closeAfterAnswer(): void {
    this.#mayKeepAlive = false;
  }

  onAnswered(): void {
    this.#exchange = null;
    this.#body?.answered();
    if (!this.#mayKeepAlive || this.#broken) this.#close();
    else if (this.#body?.complete !== false) this.#goOn();
  }

  /** To the next request. */
  #goOn(): void {
    if (this.#state !== 'open') return;
    this.#body = null;
    this.#parser.next();
    this.#lateAtMs = performance.now() + this.#options.keepAliveTimeoutMs + KEEP_ALIVE_GRACE_MS;
    if (this.socket.isPaused()) this.socket.resume();
    if (this.#rest !== null) this.#read();
  }

  /** What is no request gets an answer, and is the last thing that was read. */
  #refuse(code: ErrorCode, message: string, status = ERROR_SPECS[code].status): void {
    const body = JSON.stringify(openAiError(code, message));
    const headers = { 'content-type': 'application/json' };
    const length = Buffer.byteLength(body);
    const head = responseHead(status, headers, { length, chunked: false, keepAlive: null });
    this.socket.write(Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]));
    this.#close();
  }

  #close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#rest = null;
    this.#lateAtMs = performance.now() + LINGER_MS;
    this.socket.end();
    this.socket.resume();
  }
}

function refusalOf({ kind }: RequestFault): { code: ErrorCode; status?: number } {
  switch (kind) {
    case 'head-too-large':
      return { code: 'headers_too_large' };
    case 'connect':
      return { code: 'method_not_allowed' };
    case 'expectation':
      return { code: 'invalid_request', status: 417 };
    case 'malformed':
      return { code: 'invalid_request' };
  }
}
