/**
 * Drops a client that takes nothing of what waits for it, so that it can not hold memory and a connection for ever: the one
 * stall limit of all answers (`timeouts.write_stall_ms`).
 */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { Watched } from './deadline-sweep.ts';
import type { GatewayContext } from './gateway-context.ts';

type WatchContext = Pick<GatewayContext, 'clock' | 'settings' | 'sweep'>;

export class ReaderWatch implements Watched {
  listAt = -1;
  readonly #context: WatchContext;
  readonly #exchange: HttpExchange;
  readonly #bytesOut: () => number;
  /** What the last sweep saw of the client's side, and when it last moved. */
  #pendingBytes = 0;
  #bytesSeen = 0;
  #movedMs: number;

  /** @param bytesOut what was written so far. */
  constructor(context: WatchContext, exchange: HttpExchange, bytesOut: () => number) {
    this.#context = context;
    this.#exchange = exchange;
    this.#bytesOut = bytesOut;
    this.#movedMs = context.clock.monotonicMs();
  }

  onSweep(nowMs: number): void {
    this.dropIfStuck(nowMs);
  }

  /** True when the client was dropped. */
  dropIfStuck(nowMs: number): boolean {
    if (this.#stuckForMs(nowMs) <= this.#context.settings.writeStallTimeoutMs) return false;
    this.#exchange.destroy();
    return true;
  }

  /** How long the client has taken nothing of what waits for it. */
  #stuckForMs(nowMs: number): number {
    const { pendingBytes } = this.#exchange;
    const bytesOut = this.#bytesOut();
    const moved = pendingBytes === 0 || pendingBytes < this.#pendingBytes || bytesOut > this.#bytesSeen;
    this.#pendingBytes = pendingBytes;
    this.#bytesSeen = bytesOut;
    if (moved) this.#movedMs = nowMs;
    return nowMs - this.#movedMs;
  }
}

/**
 * Runs `answer` and then waits until the client has all of it or is gone, under watch all the time. Rejects with what `answer`
 * rejects with.
 */
export async function underWatch(
  context: WatchContext,
  exchange: HttpExchange,
  bytesOut: () => number,
  answer: () => Promise<void>,
): Promise<void> {
  const watch = new ReaderWatch(context, exchange, bytesOut);
  context.sweep.add(watch);
  try {
    await answer();
    await new Promise<void>((resolve) => exchange.onFinished(resolve));
  } finally {
    context.sweep.remove(watch);
  }
}
