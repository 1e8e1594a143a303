/**
 * HTTP/1.1 for clients, on sockets of our own (docs/adr/0018): maps what arrives to `HttpExchange`. Refuses what could be read
 * in two ways before a plane sees it, bounds heads and bodies while they arrive, and tells the plane at once when a client goes
 * away.
 *
 * Ends in two ways: `close()` drains (see docs/lifecycle.md), `destroy()` cuts all connections.
 */
import { type AddressInfo, createServer } from 'node:net';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { ClientConnection, type ConnectionOptions } from './server/client-connection.ts';

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

/** Connections that take too long are found this often, ms. */
const CHECK_MS = 1_000;
const BACKLOG = 4_096;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const connections = new Set<ClientConnection>();
  let closing = false;
  const perConnection: ConnectionOptions = {
    handle: (exchange) => options.handle(exchange),
    limits: {
      wholeMs: options.requestTimeoutMs ?? 120_000,
      chunkedMs: options.uploadTimeoutMs ?? 3_600_000,
      silenceMs: options.uploadSilenceMs ?? 30_000,
    },
    headersTimeoutMs: options.headersTimeoutMs ?? 10_000,
    keepAliveTimeoutMs: options.keepAliveTimeoutMs ?? 10_000,
    isClosing: () => closing,
  };
  const { limits, headersTimeoutMs } = perConnection;
  const checkMs = Math.min(CHECK_MS, limits.wholeMs, limits.silenceMs, headersTimeoutMs);
  let timer: NodeJS.Timeout | null = null;
  const check = () => {
    const nowMs = performance.now();
    for (const connection of connections) connection.check(nowMs);
    if (connections.size > 0 || timer === null) return;
    clearInterval(timer);
    timer = null;
  };
  const server = createServer({ noDelay: true }, (socket) => {
    const connection = new ClientConnection(socket, perConnection);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
    timer ??= setInterval(check, checkMs).unref();
  });

  return {
    listen: ({ host, port, reusePort }) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, reusePort: reusePort ?? false, backlog: BACKLOG }, () => {
          server.off('error', reject);
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    announceClose: () => {
      closing = true;
    },
    close: () => {
      closing = true;
      return new Promise((resolve) => server.close(() => resolve()));
    },
    closeIdle: () => {
      for (const connection of connections) connection.closeIfIdle();
    },
    destroy: () => {
      server.close();
      for (const connection of connections) connection.destroy();
    },
    get connections() {
      return connections.size;
    },
  };
}
