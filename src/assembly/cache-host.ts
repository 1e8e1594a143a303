/**
 * The cache thread of a gateway process, as its main thread sees it: started where answers are kept for others, replaced when it
 * dies (what was kept is lost, requests go on), and reached by workers over message ports.
 */
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { CacheReport, CacheStart, FromCacheThread, ToCacheThread } from './cache-thread-protocol.ts';

/** A thread that dies is not replaced faster than this. */
const RESTART_DELAY_MS = 1_000;

export interface CacheHostOptions extends CacheStart {
  onReport(report: CacheReport): void;
  /** Whoever holds a port of the former thread needs a new one. */
  onReplaced(): void;
  log(level: 'info' | 'warn', message: string, detail: Record<string, unknown>): void;
  logError(message: string, error: unknown): void;
}

export class CacheHost {
  readonly #options: CacheHostOptions;
  #thread: Worker;

  constructor(options: CacheHostOptions) {
    this.#options = options;
    this.#thread = this.#launch();
  }

  /** For a worker. */
  newPort(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#thread.postMessage({ type: 'connect', port: port1 } satisfies ToCacheThread, [port1]);
    return port2;
  }

  #launch(): Worker {
    const { settings, redis, onReport, log, logError } = this.#options;
    const thread = new Worker(new URL(`./cache-thread${extname(import.meta.url)}`, import.meta.url), {
      workerData: { settings, redis } satisfies CacheStart,
    });
    // What is kept is nothing that the end of this process has to wait for.
    thread.unref();
    thread.on('message', (message: FromCacheThread) => {
      if (message.type === 'report') onReport(message.report);
      else log(message.level, message.message, message.detail);
    });
    thread.on('error', (error) => logError('the cache thread died', error));
    thread.once('exit', () => setTimeout(() => this.#replace(), RESTART_DELAY_MS).unref());
    return thread;
  }

  #replace(): void {
    this.#thread = this.#launch();
    this.#options.onReplaced();
  }
}
