/**
 * The storage thread of a process, as its main thread sees it: started with it, replaced when it dies, and reached by other
 * threads over message ports. Gateways and the node process each have one; they share the file.
 */
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import type { Stores } from '../contract/ports/stores.ts';
import { createStoreClient, type StoreClient } from '../drivers/storage/rpc/store-client.ts';
import type { FromStorage, StorageStart, ToStorage } from './storage-thread-protocol.ts';

/** A thread that dies is not replaced faster than this. */
const RESTART_DELAY_MS = 1_000;

export interface StorageHostOptions extends StorageStart {
  log(level: 'warn' | 'error', message: string, detail: Record<string, unknown>): void;
  /** Start the thread by `start()`, when what matters more has been started. Calls made before wait for it. */
  deferred?: boolean;
  /** The thread was replaced: whoever holds a port of the former one needs a new one. */
  onReplaced?(): void;
}

export class StorageHost {
  readonly #options: StorageHostOptions;
  readonly #clients: StoreClient[] = [];
  #thread: Worker | null = null;
  /** Ports that the thread is to be given when it starts. */
  #early: MessagePort[] = [];
  #closed = false;

  constructor(options: StorageHostOptions) {
    this.#options = options;
    if (options.deferred !== true) this.start();
  }

  start(): void {
    if (this.#thread !== null || this.#closed) return;
    this.#thread = this.#launch();
    for (const port of this.#early.splice(0)) this.#connect(port);
  }

  /** For another thread, which gives it to `createStoreClient`. */
  newPort(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    if (this.#thread === null) this.#early.push(port1);
    else this.#connect(port1);
    return port2;
  }

  /** For this thread; stays connected. Who serves no requests may wait longer than the usual deadline. */
  stores({ callTimeoutMs }: { callTimeoutMs?: number } = {}): Stores {
    const client = createStoreClient({
      clock: systemClock,
      ...(callTimeoutMs !== undefined && { callTimeoutMs }),
    });
    this.#clients.push(client);
    client.connect(this.newPort());
    return client.stores;
  }

  /** Resolves when the file is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const client of this.#clients) client.close();
    const thread = this.#thread;
    if (thread === null) return;
    const ended = new Promise((resolve) => thread.once('exit', resolve));
    thread.ref();
    thread.postMessage({ type: 'close' } satisfies ToStorage);
    await ended;
  }

  #connect(port: MessagePort): void {
    this.#thread?.postMessage({ type: 'connect', port } satisfies ToStorage, [port]);
  }

  #launch(): Worker {
    const { stateDir, limits, log } = this.#options;
    const thread = new Worker(new URL(`./storage-thread${extname(import.meta.url)}`, import.meta.url), {
      workerData: { stateDir, limits } satisfies StorageStart,
    });
    // The file is whole whenever this process ends, so nobody has to wait for this thread.
    thread.unref();
    thread.on('message', (line: FromStorage) => log(line.level, line.message, line.detail));
    thread.on('error', (error) => log('error', 'the storage thread died', { error: String(error) }));
    thread.once('exit', () => {
      if (!this.#closed) setTimeout(() => this.#replace(), RESTART_DELAY_MS).unref();
    });
    return thread;
  }

  #replace(): void {
    if (this.#closed) return;
    this.#thread = this.#launch();
    for (const client of this.#clients) client.connect(this.newPort());
    this.#options.onReplaced?.();
  }
}
