/** What an answer says about the response cache, where no more than that is to be done. */

import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { CACHE_HEADER } from '../../../decide/scheduling/cache/cache-plan.ts';
import { WrappedExchange } from '../wrapped-exchange.ts';

/** `hit`: no engine was asked; `miss`: one was, and others may be given its answer; `bypass`: the cache was not used. */
export type CacheStatus = 'hit' | 'miss' | 'bypass';

export class CacheStatusExchange extends WrappedExchange {
  readonly #status: CacheStatus;

  constructor(inner: HttpExchange, status: CacheStatus) {
    super(inner);
    this.#status = status;
  }

  override sendHead(status: number, headers: Record<string, string>): void {
    this.inner.sendHead(status, { ...headers, [CACHE_HEADER]: this.#status });
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.inner.send(status, { ...headers, [CACHE_HEADER]: this.#status }, body);
  }
}
