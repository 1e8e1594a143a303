/**
 * Transport to engines that speak plain HTTP/1.1, on sockets of our own: one request at a time per connection, idle ones kept
 * in a list per engine, newest first. Costs about a quarter less per request than a general client, and the relay of a
 * stream touches its bytes once (docs/adr/0011). Everything that is not `http:` is the business of another transport.
 */
import type { Clock } from '../../../base/clock.ts';
import type {
  Transport,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
} from '../../../contract/ports/transport.ts';
import { Connection, checkHeaders, type Exchange, type OpenSocket, openTcp } from './connection.ts';

/** Closed by us this long before the engine would, so that a request never meets a connection that is being closed. */
const IDLE_MARGIN_MS = 1_000;
const IDLE_MAX_MS = 4_000;
const SWEEP_MS = 1_000;

interface Pool {
  url: URL;
  /** Newest last, each with the monotonic time until which it may be used. */
  idle: { connection: Connection; untilMs: number }[];
}

export interface Http1TransportOptions {
  clock: Pick<Clock, 'monotonicMs'>;
  /** Default: TCP. */
  open?: OpenSocket;
}

export function createHttp1Transport(options: Http1TransportOptions): Transport {
  return new Http1Transport(options);
}

class Http1Transport implements Transport {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #open: OpenSocket;
  readonly #pools = new Map<string, Pool>();
  readonly #connections = new Set<Connection>();
  #sweeper: NodeJS.Timeout | null = null;

  constructor({ clock, open }: Http1TransportOptions) {
    this.#clock = clock;
    this.#open = open ?? openTcp;
  }

  send(...[request, handler]: Parameters<Transport['send']>): UpstreamCall {
    checkHeaders(request);
    const call = new Call(this, request, handler);
    call.start();
    return call;
  }

  forget(origin: string): void {
    const pool = this.#pools.get(origin);
    this.#pools.delete(origin);
    for (const { connection } of pool?.idle.splice(0) ?? []) connection.destroy();
  }

  async close(): Promise<void> {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
    for (const connection of [...this.#connections]) connection.destroy();
    this.#pools.clear();
  }

  /** An idle connection, or a new one when `fresh` or there is none. */
  connectionFor({ request: { origin, connectTimeoutMs } }: Exchange, fresh: boolean): Connection {
    const pool = this.#poolOf(origin);
    const kept = fresh ? undefined : pool.idle.pop()?.connection;
    if (kept !== undefined) return kept;
    const connection = new Connection(pool.url, connectTimeoutMs, this.#open, {
      onIdle: (idle) => this.#keep(origin, idle),
      onGone: (gone) => this.#drop(origin, gone),
    });
    this.#connections.add(connection);
    return connection;
  }

  #poolOf(origin: string): Pool {
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = { url: new URL(origin), idle: [] };
      this.#pools.set(origin, pool);
    }
    return pool;
  }

  #keep(origin: string, connection: Connection): void {
    const idleMs = Math.min(IDLE_MAX_MS, connection.keepAliveMs - IDLE_MARGIN_MS);
    const pool = this.#pools.get(origin);
    if (pool === undefined || idleMs <= 0) return connection.destroy();
    pool.idle.push({ connection, untilMs: this.#clock.monotonicMs() + idleMs });
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  #drop(origin: string, connection: Connection): void {
    this.#connections.delete(connection);
    const idle = this.#pools.get(origin)?.idle;
    const at = idle?.findIndex((kept) => kept.connection === connection) ?? -1;
    if (at >= 0) idle?.splice(at, 1);
  }

  #sweep(): void {
    const now = this.#clock.monotonicMs();
    for (const { idle } of this.#pools.values()) {
      for (const { connection } of idle.filter(({ untilMs }) => untilMs <= now)) connection.destroy();
    }
    if (this.#connections.size > 0 || this.#sweeper === null) return;
    clearInterval(this.#sweeper);
    this.#sweeper = null;
  }
}

/** One request, over the connection that it got and, once, over a fresh one when that was closed already. */
class Call implements UpstreamCall {
  readonly #transport: Http1Transport;
  readonly #exchange: Exchange;
  #connection: Connection | null = null;
  #paused = false;
  #over = false;
  /** It was written to a connection that was lost before it was answered. */
  #lostOnce = false;

  constructor(transport: Http1Transport, request: UpstreamRequest, handler: UpstreamHandler) {
    this.#transport = transport;
    this.#exchange = {
      request,
      onStale: () => {
        this.#lostOnce = true;
        if (!this.#over) this.#run(true);
        return true;
      },
      handler: {
        onHead: (status, headers) => handler.onHead(status, headers),
        onData: (chunk) => handler.onData(chunk),
        onEnd: () => {
          if (this.#finish()) handler.onEnd();
        },
        onError: (failure, cause) => {
          // Nothing listens any more where a moment ago something did: the engine may have died of the request.
          const died = this.#lostOnce && failure === 'connect-refused';
          if (this.#finish()) handler.onError(died ? 'connection-lost' : failure, cause);
        },
      },
    };
  }

  start(): void {
    this.#run(false);
  }

  #run(fresh: boolean): void {
    this.#connection = this.#transport.connectionFor(this.#exchange, fresh);
    this.#connection.run(this.#exchange);
    if (this.#paused) this.#connection.pause();
  }

  #finish(): boolean {
    this.#connection = null;
    if (this.#over) return false;
    this.#over = true;
    return true;
  }

  pause(): void {
    this.#paused = true;
    this.#connection?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#connection?.resume();
  }

  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection?.destroy();
    this.#connection = null;
  }
}
