/**
 * Maps node:http to `HttpExchange`. Refuses what could be read in two ways before a plane sees it, bounds bodies while they
 * arrive, and tells the plane at once when a client goes away.
 *
 * Ends in two ways: `close()` drains (see docs/lifecycle.md), `destroy()` cuts all connections.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ERROR_SPECS, type ErrorCode, PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { canonicalTarget, headerFault } from '../../wire/http/canonical-request.ts';
import { openAiError } from '../../wire/openai/error-object.ts';

export interface HttpServerOptions {
  handle(exchange: HttpExchange): void;
  /** Idle keep-alive connections are closed after this. Default 10 s: longer than clients keep theirs (httpx 5 s). */
  keepAliveTimeoutMs?: number;
  /** Longest time for the header block, ms; 10 s stops slow-header attacks. */
  headersTimeoutMs?: number;
  /** Longest time for the whole request, body included, ms. Default 120 s. */
  requestTimeoutMs?: number;
}

export interface ListenOptions {
  host: string;
  port: number;
  /** Shares the port with other threads and processes that ask for the same (SO_REUSEPORT). */
  reusePort?: boolean;
}

export interface HttpServer {
  listen(options: ListenOptions): Promise<{ port: number }>;
  /** From here on each answer carries `Connection: close`. */
  announceClose(): void;
  /** Accepts no more connections; the open ones live on. Resolves when the last one has ended. */
  close(): Promise<void>;
  /** Cuts connections on which no request runs. */
  closeIdle(): void;
  destroy(): void;
  readonly connections: number;
}

const HEADER_BYTES_MAX = 16_384;
/** Answers up to this size travel in one piece with their head. */
const ONE_WRITE_BYTES_MAX = 65_536;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const sockets = new Set<Socket>();
  const state = { closing: false };
  const server: Server = createServer(
    {
      keepAliveTimeout: options.keepAliveTimeoutMs ?? 10_000,
      headersTimeout: options.headersTimeoutMs ?? 10_000,
      requestTimeout: options.requestTimeoutMs ?? 120_000,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: HEADER_BYTES_MAX,
      noDelay: true,
      // Refused by us, in our error shape.
      requireHostHeader: false,
    },
    (request, response) => {
      if (state.closing) response.setHeader('connection', 'close');
      const exchange = openExchange(request, response);
      if (exchange !== null) options.handle(exchange);
    },
  );
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // A body that breaks off or is late is the end of its own request.
    if (receiving.get(socket)?.failBody(error) === true) return;
    // Answers to requests that came before on this connection go first, or the client would take this one for theirs.
    whenAnswered(socket, () => refuseBrokenRequest(error, socket));
  });
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const found = String(request.headers.expect).slice(0, 60);
    refuse(response, 417, 'invalid_request', `Expect "${found}"; only "100-continue" is understood`);
  });
  server.on('connect', (_request, socket: Socket) => {
    socket.end(rawRefusal('method_not_allowed', 'CONNECT is not offered'));
  });
  server.on('upgrade', (_request, socket: Socket) => {
    // Upgrades are not offered; answering with plain HTTP is what RFC 9110 section 7.8 allows, closing is simpler and safe.
    socket.end(rawRefusal('invalid_request', 'protocol upgrades are not offered'));
  });

  return {
    listen: ({ host, port, reusePort }) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, reusePort: reusePort ?? false, backlog: 4096 }, () => {
          server.off('error', reject);
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    announceClose: () => {
      state.closing = true;
    },
    close: () => {
      state.closing = true;
      return new Promise((resolve) => {
        // Not server.close() alone: since Node 19 that cuts idle keep-alive connections at once, and a client that sends at
        // that moment sees a reset (nodejs/node#60617). They end by their keep-alive timeout, which clients know.
        closeListenerOnly(server, () => {
          if (sockets.size === 0) return resolve();
          const check = () => {
            if (sockets.size === 0) resolve();
          };
          for (const socket of sockets) socket.once('close', () => setImmediate(check));
        });
      });
    },
    closeIdle: () => server.closeIdleConnections(),
    destroy: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
    get connections() {
      return sockets.size;
    },
  };
}

/** Stops accepting, and leaves idle keep-alive connections to their timeout. */
function closeListenerOnly(server: Server, done: () => void): void {
  const closeIdle = server.closeIdleConnections;
  server.closeIdleConnections = () => {};
  server.close();
  server.closeIdleConnections = closeIdle;
  done();
}

/** The newest request of each connection. */
const receiving = new WeakMap<Socket, NodeExchange>();

/** Requests of a connection that are not answered yet. */
const open = new WeakMap<Socket, number>();

function whenAnswered(socket: Socket, refuseNow: () => void): void {
  if ((open.get(socket) ?? 0) <= 0) return refuseNow();
  const timer = setInterval(() => {
    if ((open.get(socket) ?? 0) > 0 && !socket.destroyed) return;
    clearInterval(timer);
    refuseNow();
  }, 10);
}

function refuse(response: ServerResponse, status: number, code: ErrorCode, message: string): void {
  const body = JSON.stringify(openAiError(code, message));
  response.writeHead(status, {
    'content-type': 'application/json',
    connection: 'close',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** Null when the request was refused and answered already. */
function openExchange(request: IncomingMessage, response: ServerResponse): HttpExchange | null {
  const noHost =
    request.headers.host === undefined && request.httpVersion === '1.1' ? 'no Host header' : null;
  const fault = noHost ?? headerFault(request.rawHeaders, request.httpVersion);
  const target = canonicalTarget(request.url ?? '', request.headers.host);
  const refused = fault ?? ('refused' in target ? target.refused : null) ?? bodyOnGet(request);
  if (refused !== null || 'refused' in target) {
    refuse(response, 400, 'invalid_request', refused ?? 'invalid request');
    return null;
  }
  const socket = request.socket;
  open.set(socket, (open.get(socket) ?? 0) + 1);
  response.once('close', () => open.set(socket, (open.get(socket) ?? 1) - 1));
  const exchange = new NodeExchange(request, response, target.path, target.query);
  receiving.set(socket, exchange);
  return exchange;
}

function bodyOnGet(request: IncomingMessage): string | null {
  if (request.method !== 'GET' && request.method !== 'HEAD') return null;
  const length = request.headers['content-length'];
  if (request.headers['transfer-encoding'] === undefined && (length === undefined || length === '0'))
    return null;
  return `a ${request.method} request with a body`;
}

class NodeExchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #goneListener: (() => void) | null = null;
  #gone = false;
  /** Where chunks of a streamed answer go, each in one write of ours; null: through node:http, which takes four parts. */
  #chunks: Socket | null = null;
  /** Why the rest of the body will not come. */
  #bodyFault: PlatformError | null = null;
  #rejectBody: ((error: PlatformError) => void) | null = null;

  constructor(request: IncomingMessage, response: ServerResponse, path: string, query: string) {
    this.method = request.method ?? 'GET';
    this.path = path;
    this.query = query;
    this.headers = request.headers as Record<string, string | undefined>;
    this.#request = request;
    this.#response = response;
    response.on('close', () => {
      if (response.writableFinished) return;
      this.#gone = true;
      this.#goneListener?.();
    });
    response.on('error', () => {});
  }

  get fromLoopback(): boolean {
    const address = this.#request.socket.remoteAddress ?? '';
    return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
  }

  get clientGone(): boolean {
    return this.#gone;
  }

  get headSent(): boolean {
    return this.#response.headersSent;
  }

  onClientGone(listener: () => void): void {
    this.#goneListener = listener;
  }

  readBody(bytesMax: number): Promise<Buffer> {
    const request = this.#request;
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      return Promise.reject(
        new PlatformError(
          'unsupported_media_type',
          `Content-Encoding "${encoding.slice(0, 40)}" is not supported; send the body as it is`,
        ),
      );
    }
    if (this.#bodyFault !== null) return Promise.reject(this.#bodyFault);
    const tooLarge = (found: string) => {
      // The rest of the body is thrown away; the connection can not be used again.
      this.#response.setHeader('connection', 'close');
      lingerAfterAnswer(request);
      return new PlatformError(
        'body_too_large',
        `the body has ${found} bytes; the limit is ${bytesMax} bytes`,
      );
    };
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > bytesMax) return Promise.reject(tooLarge(String(announced)));
    return new Promise((resolve, reject) => {
      this.#rejectBody = reject;
      const chunks: Buffer[] = [];
      let size = 0;
      const onData = (chunk: Buffer) => {
        size += chunk.length;
        if (size > bytesMax) {
          request.off('data', onData);
          reject(tooLarge(`more than ${bytesMax}`));
        } else {
          chunks.push(chunk);
        }
      };
      request.on('data', onData);
      request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
      const lost = () =>
        reject(new PlatformError('client_closed', 'the client closed the connection while it sent the body'));
      request.on('error', lost);
      request.on('close', () => {
        if (!request.complete) lost();
      });
    });
  }

  /** What came after the head was no valid body, or nothing came. False when the body is complete, or answered already. */
  failBody(error: NodeJS.ErrnoException): boolean {
    if (this.#request.complete || this.#response.writableEnded) return false;
    const { code, message } = refusalOf(error);
    this.#bodyFault = new PlatformError(code, message);
    if (!this.#response.headersSent) this.#response.setHeader('connection', 'close');
    this.#rejectBody?.(this.#bodyFault);
    return true;
  }

  sendHead(status: number, headers: Record<string, string>): void {
    if (this.#gone || this.#response.headersSent) return;
    this.#response.writeHead(status, headers);
    this.#response.flushHeaders();
    const { socket, chunkedEncoding } = this.#response;
    // A response that waits for an earlier one on its connection has no socket yet.
    if (chunkedEncoding && socket !== null && this.method !== 'HEAD') this.#chunks = socket;
  }

  write(chunk: Uint8Array | string): boolean {
    if (this.#gone) return true;
    if (this.#chunks === null) return this.#response.write(chunk);
    const framed = chunkOf(chunk);
    return framed === null || this.#chunks.write(framed);
  }

  onDrain(listener: () => void): void {
    (this.#chunks ?? this.#response).once('drain', listener);
  }

  get pendingBytes(): number {
    return this.#response.writableLength;
  }

  onFinished(listener: () => void): void {
    if (this.#response.closed || this.#gone) listener();
    else this.#response.once('close', listener);
  }

  end(chunk?: Uint8Array | string): void {
    if (this.#gone) return;
    if (chunk === undefined || this.#chunks === null) {
      this.#response.end(chunk);
      return;
    }
    this.write(chunk);
    this.#response.end();
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    if (this.#gone) return;
    headers['content-length'] = String(typeof body === 'string' ? Buffer.byteLength(body) : body.length);
    this.#response.writeHead(status, headers);
    if (typeof body === 'string' || body.length > ONE_WRITE_BYTES_MAX) this.#response.end(body);
    // node:http joins a text to the head and sends both in one write; bytes would take two.
    else this.#response.end(bufferOf(body).toString('latin1'), 'latin1');
  }

  destroy(): void {
    this.#request.socket.destroy();
  }
}

/** A chunk of chunked transfer coding (RFC 9112, 7.1); null for no bytes, which would end the body. */
function chunkOf(data: Uint8Array | string): Buffer | null {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  if (bytes.length === 0) return null;
  const head = `${bytes.length.toString(16)}\r\n`;
  const framed = Buffer.allocUnsafe(head.length + bytes.length + 2);
  framed.write(head, 0, 'latin1');
  framed.set(bytes, head.length);
  framed[framed.length - 2] = 0x0d;
  framed[framed.length - 1] = 0x0a;
  return framed;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** After an early answer a client that is still sending is read for so long, and so far, before it is cut off. */
const LINGER_MS = 1_000;
const LINGER_BYTES_MAX = 64 * 1024 * 1024;

/**
 * A connection that is closed while the client still sends is reset, and the reset can overtake the answer (RFC 9112, section
 * 9.6): the answer goes first, then what still comes is thrown away for a while. Node ends such a connection by `destroySoon`.
 */
function lingerAfterAnswer(request: IncomingMessage): void {
  const { socket } = request;
  const endNow = socket.destroySoon.bind(socket);
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES_MAX) socket.destroy();
  });
  socket.destroySoon = () => {
    if (request.complete) return endNow();
    socket.end();
    request.once('end', endNow);
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  };
}

function rawRefusal(code: ErrorCode, message: string): string {
  const { status } = ERROR_SPECS[code];
  const body = JSON.stringify(openAiError(code, message));
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

/** What llhttp refused: answered in our error shape, as far as the socket still takes it. */
function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const { code, message } = refusalOf(error);
  socket.end(rawRefusal(code, message));
  socket.destroySoon();
}

function refusalOf({ code }: NodeJS.ErrnoException): { code: ErrorCode; message: string } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return {
        code: 'headers_too_large',
        message: `the header block is larger than ${HEADER_BYTES_MAX} bytes`,
      };
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { code: 'body_too_large', message: 'the extensions of a chunk are too large' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { code: 'request_timeout', message: 'the request did not arrive in time' };
    default:
      return { code: 'invalid_request', message: 'not a valid HTTP/1.1 request' };
  }
}
