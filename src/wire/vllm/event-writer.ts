/**
 * Server-sent events to one client. The events of one step go out in one write; a client that reads too slowly holds the
 * generation back, and one that does not read at all for `stallMs` is cut off, so that it can not keep a slot for ever.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { OPENAI_STREAM, type StreamFormat } from './stream-format.ts';

const HEAD = { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };

export interface EventWriterOptions {
  exchange: HttpExchange;
  clock: Clock;
  stallMs: number;
  signal: AbortSignal;
  /** Default: as OpenAI and vLLM. */
  format?: StreamFormat;
}

export class EventWriter {
  readonly #exchange: HttpExchange;
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #signal: AbortSignal;
  readonly #format: StreamFormat;
  #draining: Promise<void> | null = null;

  constructor(options: EventWriterOptions) {
    this.#exchange = options.exchange;
    this.#clock = options.clock;
    this.#stallMs = options.stallMs;
    this.#signal = options.signal;
    this.#format = options.format ?? OPENAI_STREAM;
  }

  /** Resolves when more may be written; rejects with the signal's reason. */
  async write(events: readonly object[]): Promise<void> {
    if (events.length === 0) return;
    const { contentType, event } = this.#format;
    if (!this.#exchange.headSent) this.#exchange.sendHead(200, { 'content-type': contentType, ...HEAD });
    if (!this.#exchange.write(events.map(event).join(''))) this.#draining ??= this.#drained();
    if (this.#draining !== null) await this.#draining;
  }

  done(): void {
    this.#exchange.end(this.#format.done);
  }

  /** An error after the head was sent. */
  fail(error: PlatformError): void {
    this.#exchange.end(this.#format.failure(error));
  }

  async #drained(): Promise<void> {
    const settled = new AbortController();
    const drain = new Promise<void>((resolve) => this.#exchange.onDrain(resolve));
    const stalled = this.#clock
      .sleep(this.#stallMs, AbortSignal.any([this.#signal, settled.signal]))
      .then(() => {
        throw new PlatformError('client_closed', `the client read nothing for ${this.#stallMs} ms`);
      });
    // The loser of the race ends by `settled`, and nobody waits for it.
    stalled.catch(() => {});
    try {
      await Promise.race([drain, stalled]);
    } finally {
      settled.abort();
      this.#draining = null;
    }
  }
}
