/**
 * The stores as other threads call them: each method is a message to the storage thread, with a deadline. A disk that hangs
 * costs a caller at most that deadline, and later callers nothing: while a call is overdue, all others are refused at once.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { StoreName, Stores } from '../../../contract/ports/stores.ts';
import type { StoreCall, StoreReply } from './store-call.ts';

const CALL_TIMEOUT_MS = 2_000;
/** Calls that wait for their answer, per client. */
const CALLS_MAX = 1_000;
const RETRY_AFTER_S = 2;

export interface StoreClient {
  readonly stores: Stores;
  /** From here on this port is used: the storage thread was replaced. What waited on the former one is refused. */
  connect(port: MessagePort): void;
  close(): void;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: PlatformError): void;
  timer: NodeJS.Timeout;
}

export interface StoreClientOptions {
  clock: Clock;
  callTimeoutMs?: number;
}

/** Without a port, as long as `connect` was not called, every call is refused. */
export function createStoreClient(options: StoreClientOptions): StoreClient {
  const client = new MessagePortClient(options);
  const store = (name: StoreName) =>
    new Proxy(
      {},
      {
        get:
          (_target, method) =>
          (...args: unknown[]) =>
            client.call(name, String(method), args),
      },
    );
  const stores: Record<StoreName, object> = {
    responses: store('responses'),
    idempotency: store('idempotency'),
    files: store('files'),
    batches: store('batches'),
  };
  return {
    stores: stores as unknown as Stores,
    connect: (port) => client.connect(port),
    close: () => client.close(),
  };
}

class MessagePortClient {
  readonly #clock: Clock;
  readonly #callTimeoutMs: number;
  #port: MessagePort | null = null;
  #nextId = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** Calls that were given up and are not answered yet. */
  readonly #overdue = new Set<number>();

  constructor({ clock, callTimeoutMs }: StoreClientOptions) {
    this.#clock = clock;
    this.#callTimeoutMs = callTimeoutMs ?? CALL_TIMEOUT_MS;
  }

  connect(port: MessagePort): void {
    this.close();
    this.#port = port;
    port.on('message', (reply: StoreReply) => this.#onReply(reply));
    port.on('close', () => {
      if (this.#port === port) this.close();
    });
    // A thread that has nothing else to do may end.
    port.unref();
  }

  close(): void {
    const port = this.#port;
    this.#port = null;
    port?.close();
    this.#overdue.clear();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(unavailable('the storage thread has ended'));
    }
    this.#waiting.clear();
  }

  call(store: StoreName, method: string, args: unknown[]): Promise<unknown> {
    const port = this.#port;
    if (port === null) return Promise.reject(unavailable('there is no storage thread'));
    if (this.#overdue.size > 0)
      return Promise.reject(unavailable('the state database has not answered for a while'));
    if (this.#waiting.size >= CALLS_MAX)
      return Promise.reject(unavailable(`${CALLS_MAX} calls wait for the state database`));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        this.#overdue.add(id);
        reject(unavailable(`the state database did not answer within ${this.#callTimeoutMs} ms`));
      }, this.#callTimeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      const deadlineAtMs = this.#clock.wallMs() + this.#callTimeoutMs;
      port.postMessage({ id, store, method, args, deadlineAtMs } satisfies StoreCall);
    });
  }

  #onReply(reply: StoreReply): void {
    this.#overdue.delete(reply.id);
    const waiting = this.#waiting.get(reply.id);
    if (waiting === undefined) return;
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if (reply.ok) waiting.resolve(reply.value);
    else {
      const { code, message, retryAfterS } = reply;
      waiting.reject(new PlatformError(code, message, retryAfterS === undefined ? {} : { retryAfterS }));
    }
  }
}

function unavailable(message: string): PlatformError {
  return new PlatformError('storage_unavailable', message, { retryAfterS: RETRY_AFTER_S });
}
