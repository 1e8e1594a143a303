/**
 * The storage thread's side of calls: carries them out one after another against the state database, and sweeps it now and
 * then. Owner: `assembly/storage-thread.ts`.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Kysely } from 'kysely';
import type { Clock } from '../../../base/clock.ts';
import { PlatformError } from '../../../contract/errors.ts';
import type { StoreLimits, Stores } from '../../../contract/ports/stores.ts';
import { openStores } from '../sql/open-stores.ts';
import type { Tables } from '../sql/tables.ts';
import type { StateDatabase } from '../sqlite/state-database.ts';
import type { StoreCall, StoreReply } from './store-call.ts';

export const SWEEP_INTERVAL_MS = 60_000;

export interface StoreServerOptions {
  database: StateDatabase;
  limits: StoreLimits;
  clock: Clock;
}

type Method = (...args: unknown[]) => Promise<unknown>;

export class StoreServer {
  readonly #options: StoreServerOptions;
  #stores: { queries: Kysely<Tables>; stores: Stores } | null = null;
  /** The call that runs, and those before it. Bounded by what each client may have waiting. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: StoreServerOptions) {
    this.#options = options;
  }

  serve(port: MessagePort): void {
    port.on('message', (call: StoreCall) => {
      this.#enqueue(async () => {
        port.postMessage(await this.#carryOut(call));
      });
    });
  }

  /** Resolves when it was done or could not be done; the next one comes soon. */
  sweep(): Promise<void> {
    return this.#enqueue(async () => {
      const nowMs = this.#options.clock.wallMs();
      await this.#use(async (stores) => {
        for (const store of Object.values(stores)) if ('sweep' in store) await store.sweep(nowMs);
      });
      this.#options.database.reclaim();
    });
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    // What fails here was told to its caller already.
    this.#last = this.#last.then(work).catch(() => {});
    return this.#last;
  }

  async #carryOut(call: StoreCall): Promise<StoreReply> {
    const { id, store, method, args, deadlineAtMs } = call;
    try {
      if (this.#options.clock.wallMs() > deadlineAtMs)
        throw new PlatformError('storage_unavailable', 'the call waited beyond its deadline');
      const value = await this.#use((stores) => methodOf(stores, store, method)(...args));
      return { id, ok: true, value };
    } catch (thrown) {
      const { code, message, retryAfterS } = PlatformError.from(thrown);
      return { id, ok: false, code, message, retryAfterS };
    }
  }

  #use<T>(work: (stores: Stores) => Promise<T>): Promise<T> {
    const { database, limits } = this.#options;
    return database.use((queries) => {
      if (this.#stores?.queries !== queries) this.#stores = { queries, stores: openStores(queries, limits) };
      return work(this.#stores.stores);
    });
  }
}

function methodOf(stores: Stores, store: string, method: string): Method {
  const found = Object.hasOwn(stores, store) ? stores[store as keyof Stores] : undefined;
  const call = (found as unknown as Record<string, unknown> | undefined)?.[method];
  if (typeof call !== 'function') throw new RangeError(`no method ${store}.${method}`);
  return call.bind(found) as Method;
}
