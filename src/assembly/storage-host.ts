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
  /** The thread was replaced: whoever holds a port of the former one needs a new one. */
  onReplaced?(): void;
}

export class StorageHost {
  readonly #options: StorageHostOptions;
  readonly #clients: StoreClient[] = [];
  #thread: Worker;
  #closed = false;

  constructor(options: StorageHostOptions) {
    this.#options = options;
    this.#thread = this.#start();
  }

  /** For another thread, which gives it to `createStoreClient`. */
  newPort(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#thread.postMessage({ type: 'connect', port: port1 } satisfies ToStorage, [port1]);
    return port2;
  }

  /** For this thread; stays connected. */
  stores(): Stores {
    const client = createStoreClient({ clock: systemClock });
    this.#clients.push(client);
    client.connect(this.newPort());
    return client.stores;
  }

  /** Resolves when the file is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const client of this.#clients) client.close();
    const ended = new Promise((resolve) => this.#thread.once('exit', resolve));
    this.#thread.ref();
    this.#thread.postMessage({ type: 'close' } satisfies ToStorage);
    await ended;
  }

  #start(): Worker {
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
    this.#thread = this.#start();
    for (const client of this.#clients) client.connect(this.newPort());
    this.#options.onReplaced?.();
  }
}
