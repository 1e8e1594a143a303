/**
 * One connection to an engine, and the request that runs on it. Owner of its socket: whatever happens to it, the request
 * ends exactly once, and a socket is handed back only when the next response on it can not be confused with this one.
 */
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { UpstreamHandler, UpstreamRequest } from '../../../contract/ports/transport.ts';
import { type HeaderValues, ResponseFault, ResponseParser } from './response-parser.ts';

export interface Exchange {
  request: UpstreamRequest;
  handler: UpstreamHandler;
  /**
   * The engine closed a connection that had served before, and answered nothing: it closed it before it had read the
   * request. Returns whether the request was sent again on another connection.
   */
  onStale(): boolean;
}

/** Opens the stream of bytes to an engine; `connect` is emitted when it is there. */
export type OpenSocket = (url: URL) => Duplex;

export function openTcp(url: URL): Duplex {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return connect({ host, port: Number(url.port || 80), noDelay: true });
}

export interface ConnectionEvents {
  /** The response is complete and the socket is good for another request. */
  onIdle(connection: Connection): void;
  /** The socket is gone, or must not be used again. */
  onGone(connection: Connection): void;
}

/** Bodies up to this size travel in one piece with the head. */
const ONE_WRITE_BYTES_MAX = 65_536;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a header may not hold.
const FORBIDDEN_IN_HEADER = /[\x00-\x08\x0a-\x1f\x7f]/;

export class Connection {
  readonly #events: ConnectionEvents;
  readonly #socket: Duplex;
  readonly #host: string;
  #exchange: Exchange | null = null;
  #parser: ResponseParser | null = null;
  #connectTimer: NodeJS.Timeout | null = null;
  #served = 0;
  #headSeen = false;
  #bytesSeen = false;
  #gone = false;
  /** How long the engine keeps the connection when it is idle, by what it said last. */
  keepAliveMs = 0;

  constructor(url: URL, connectTimeoutMs: number, open: OpenSocket, events: ConnectionEvents) {
    this.#events = events;
    this.#host = url.host;
    this.#socket = open(url);
    this.#connectTimer = setTimeout(() => {
      this.#end('connect-timeout', new Error(`no connection within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    this.#socket.on('connect', () => this.#stopConnectTimer());
    this.#socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    this.#socket.on('end', () => this.#onEnd());
    this.#socket.on('error', (error) => this.#onLost(error));
    this.#socket.on('close', () => this.#onLost(new Error('the connection was closed')));
  }

  /** Sends a request; the connection must be new or idle. */
  run(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#headSeen = false;
    this.#bytesSeen = false;
    this.#parser = new ResponseParser({
      onHead: (status, headers) => this.#onHead(status, headers),
      onData: (bytes) => this.#exchange?.handler.onData(bytes),
      onEnd: (reusable) => this.#onResponseEnd(reusable),
    });
    const { body } = exchange.request;
    const head = requestHead(exchange.request, this.#host);
    if (body === null) this.#socket.write(head, 'latin1');
    else if (body.length <= ONE_WRITE_BYTES_MAX) this.#socket.write(joined(head, body));
    else {
      this.#socket.cork();
      this.#socket.write(head, 'latin1');
      this.#socket.write(body);
      this.#socket.uncork();
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Ends the request without a word, and the connection with it. */
  destroy(): void {
    this.#exchange = null;
    this.#leave();
  }

  #onHead(status: number, headers: HeaderValues): void {
    this.#headSeen = true;
    this.keepAliveMs = keepAliveOf(headers);
    this.#exchange?.handler.onHead(status, headers);
  }

  #onData(bytes: Buffer): void {
    // An engine that speaks without being asked is not one whose next word can be trusted.
    if (this.#exchange === null || this.#parser === null) return this.#leave();
    this.#bytesSeen = true;
    try {
      this.#parser.feed(bytes);
    } catch (error) {
      if (!(error instanceof ResponseFault)) throw error;
      this.#end('connection-lost', error);
    }
  }

  #onResponseEnd(reusable: boolean): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#parser = null;
    this.#served++;
    if (!reusable || this.#gone) this.#leave();
    else {
      this.#socket.resume();
      this.#events.onIdle(this);
    }
    exchange?.handler.onEnd();
  }

  #onEnd(): void {
    if (this.#exchange === null || this.#parser === null) return this.#leave();
    try {
      this.#parser.close();
    } catch (error) {
      this.#onLost(error as Error);
    }
  }

  #onLost(error: Error): void {
    const exchange = this.#exchange;
    if (exchange !== null && this.#served > 0 && !this.#bytesSeen && !this.#headSeen) {
      this.#exchange = null;
      this.#leave();
      if (!exchange.onStale()) exchange.handler.onError('connection-lost', error);
      return;
    }
    this.#end(failureOf(error), error);
  }

  #end(failure: Parameters<UpstreamHandler['onError']>[0], error: Error): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#leave();
    exchange?.handler.onError(failure, error);
  }

  #leave(): void {
    this.#stopConnectTimer();
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.destroy();
    this.#events.onGone(this);
  }

  #stopConnectTimer(): void {
    if (this.#connectTimer !== null) clearTimeout(this.#connectTimer);
    this.#connectTimer = null;
  }
}

function requestHead({ method, path, headers, body }: UpstreamRequest, host: string): string {
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
  if (body !== null) head += `content-length: ${body.length}\r\n`;
  return `${head}\r\n`;
}

/** What a header may not hold would end it, and begin another. Throws TypeError. */
export function checkHeaders({ path, headers }: UpstreamRequest): void {
  if (!/^\/[\x21-\x7e]*$/.test(path)) throw new TypeError('the path of an upstream request is no path');
  for (const name in headers) {
    if (FORBIDDEN_IN_HEADER.test(headers[name] as string))
      throw new TypeError(`the header ${name} holds a control character`);
  }
}

function joined(head: string, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(head.length + body.length);
  bytes.write(head, 0, 'latin1');
  bytes.set(body, head.length);
  return bytes;
}

/** How long the engine says that it keeps an idle connection; without a word, the usual 5 s of HTTP servers. */
function keepAliveOf(headers: HeaderValues): number {
  const timeout = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(String(headers['keep-alive'] ?? ''));
  return timeout === null ? 5_000 : Number(timeout[1]) * 1_000;
}

const REFUSED = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'];

function failureOf(error: Error): Parameters<UpstreamHandler['onError']>[0] {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (REFUSED.includes(code)) return 'connect-refused';
  return code === 'ETIMEDOUT' ? 'connect-timeout' : 'connection-lost';
}
