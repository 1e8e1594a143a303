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
import { BodyDeadlines, type BodyLimits, RequestBody } from './request-body.ts';

export interface HttpServerOptions {
  handle(exchange: HttpExchange): void;
  /** Idle keep-alive connections are closed after this. Default 10 s: longer than clients keep theirs (httpx 5 s). */
  keepAliveTimeoutMs?: number;
  /** Longest time for the header block, ms; 10 s stops slow-header attacks. */
  headersTimeoutMs?: number;
  /** Longest time for the body of a request, ms. Default 120 s. */
  requestTimeoutMs?: number;
  /** Longest time for a body that is read in chunks, ms. Default 1 h. */
  uploadTimeoutMs?: number;
  /** Longest silence in the middle of such a body, ms. Default 30 s. */
  uploadSilenceMs?: number;
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
/** Bodies that are late are found this often, ms. */
const BODY_CHECK_MS = 1_000;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const sockets = new Set<Socket>();
  const state = { closing: false };
  const limits: BodyLimits = {
    wholeMs: options.requestTimeoutMs ?? 120_000,
    chunkedMs: options.uploadTimeoutMs ?? 3_600_000,
    silenceMs: options.uploadSilenceMs ?? 30_000,
  };
  const deadlines = new BodyDeadlines(Math.min(BODY_CHECK_MS, limits.silenceMs), refuseLateBody);
  const server: Server = createServer(
    {
      keepAliveTimeout: options.keepAliveTimeoutMs ?? 10_000,
      headersTimeout: options.headersTimeoutMs ?? 10_000,
      // Node's own limit is the same for a question and for an upload; `deadlines` has ours.
      requestTimeout: 0,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: HEADER_BYTES_MAX,
      noDelay: true,
      // Refused by us, in our error shape.
      requireHostHeader: false,
    },
    (request, response) => {
      if (state.closing) response.setHeader('connection', 'close');
      const body = new RequestBody(request, response, { limits, deadlines });
      const exchange = openExchange(body);
      if (exchange !== null) options.handle(exchange);
    },
  );
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // A body that breaks off is the end of its own request, whose reader says so.
    const { code, message } = refusalOf(error);
    const departed = error.code === 'ECONNRESET' || error.code === 'HPE_INVALID_EOF_STATE';
    if (!departed && receiving.get(socket)?.fail(new PlatformError(code, message)) === true) return;
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
const receiving = new WeakMap<Socket, RequestBody>();

/** Requests of a connection that are not answered yet. */
const open = new WeakMap<Socket, RequestBody[]>();

/** A request whose body is what broke will never be answered otherwise, and is not waited for. */
function whenAnswered(socket: Socket, refuseNow: () => void): void {
  const waits = () => (open.get(socket) ?? []).some(({ request }) => request.complete);
  if (!waits()) return refuseNow();
  const timer = setInterval(() => {
    if (waits() && !socket.destroyed) return;
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
function openExchange(body: RequestBody): HttpExchange | null {
  const { request, response } = body;
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
  const unanswered = open.get(socket) ?? [];
  unanswered.push(body);
  receiving.set(socket, body);
  open.set(socket, unanswered);
  response.once('close', () => unanswered.splice(unanswered.indexOf(body), 1));
  return new NodeExchange(body, target.path, target.query);
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
  readonly #body: RequestBody;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #goneListener: (() => void) | null = null;
  #gone = false;
  /** Where chunks of a streamed answer go, each in one write of ours; null: through node:http, which takes four parts. */
  #chunks: Socket | null = null;

  constructor(body: RequestBody, path: string, query: string) {
    const { request, response } = body;
    this.#body = body;
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
    return this.#body.read(bytesMax);
  }

  bodyChunks(bytesMax: number): AsyncIterable<Buffer> {
    return this.#body.chunks(bytesMax);
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

function refuseLateBody(body: RequestBody): void {
  const { request, response } = body;
  const { socket } = request;
  const message = 'the body of the request did not arrive in time';
  if (body.fail(new PlatformError('request_timeout', message))) return;
  // Node lets go of a request when its answer has ended; whoever reads it must still learn that nothing more comes.
  socket.once('close', () => request.destroy());
  if (response.headersSent || response.destroyed) {
    socket.destroy();
    return;
  }
  request.pause();
  refuse(response, 408, 'request_timeout', message);
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
  const answerBegan = (open.get(socket) ?? []).some(({ response }) => response.headersSent);
  if (!socket.writable || error.code === 'ECONNRESET' || answerBegan) {
    socket.destroy();
    return;
  }
  const { code, message } = refusalOf(error);
  socket.end(rawRefusal(code, message));
  socket.destroySoon();
}

function refusalOf({ code }: NodeJS.ErrnoException): { code: ErrorCode; message: string } {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return {
      code: 'headers_too_large',
      message: `the header block is larger than ${HEADER_BYTES_MAX} bytes`,
    };
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { code: 'request_timeout', message: 'the request did not arrive in time' };
  return { code: 'invalid_request', message: 'not a valid HTTP/1.1 request' };
}
