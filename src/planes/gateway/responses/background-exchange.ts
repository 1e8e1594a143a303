/**
 * The exchange of a background response: what the request loop writes is kept in the store, and there is no client that could
 * leave. It is cancelled from outside, and holds the engine back while the store does not keep up.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { ResponseStore } from '../../../contract/ports/response-store.ts';
import { readErrorAnswer } from '../../../wire/canonical/chat-error.ts';
import {
  errorOf,
  type ResponseEventOut,
  type ResponsesTranslator,
} from '../../../wire/responses/answer-translator.ts';
import { inResponsesWords } from '../../../wire/responses/error-words.ts';
import type { ResponseObject } from '../../../wire/responses/response-object.ts';
import { bytesOf } from '../wrapped-exchange.ts';

/** Events that wait for the store; beyond them the engine is held back. */
const WAITING_BYTES_MAX = 1_048_576;

export interface BackgroundExchangeOptions {
  id: string;
  headers: HttpExchange['headers'];
  translator: ResponsesTranslator;
  store: ResponseStore;
  /** Its events can be read, too. */
  keepEvents: boolean;
  /** Events have been stored, or the response has ended. */
  onStored(): void;
  /** Carries the end into the store; resolves when it is there or cannot be. */
  keepEnd(response: ResponseObject, events: ResponseEventOut[]): Promise<void>;
  /** Work has begun. */
  onStarted(): void;
}

export class BackgroundExchange implements HttpExchange {
  readonly method = 'POST';
  readonly path = '/v1/responses';
  readonly query = '';
  readonly fromLoopback = true;
  readonly headers: HttpExchange['headers'];
  readonly #options: BackgroundExchangeOptions;
  #waiting: ResponseEventOut[] = [];
  #waitingBytes = 0;
  #storing: Promise<void> | null = null;
  #goneListener: (() => void) | null = null;
  #drainListener: (() => void) | null = null;
  readonly #finished = Promise.withResolvers<void>();
  #ended = false;
  clientGone = false;
  headSent = false;

  constructor(options: BackgroundExchangeOptions) {
    this.#options = options;
    this.headers = options.headers;
    this.#add(options.translator.begin());
  }

  /** An end was said, by the engine or by us. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Stops the engine. What is in the store is the caller's business. */
  cancel(): void {
    if (this.clientGone) return;
    this.clientGone = true;
    this.#goneListener?.();
    this.#finished.resolve();
  }

  onClientGone(listener: () => void): void {
    this.#goneListener = listener;
  }

  readBody(): Promise<Buffer> {
    return Promise.reject(noBody());
  }

  bodyChunks(): never {
    throw noBody();
  }

  sendHead(): void {
    if (this.headSent) return;
    this.headSent = true;
    this.#add(this.#options.translator.started());
    this.#options.onStarted();
  }

  write(chunk: Uint8Array | string): boolean {
    this.#add(this.#options.translator.events(bytesOf(chunk)));
    return this.#waitingBytes < WAITING_BYTES_MAX;
  }

  onDrain(listener: () => void): void {
    this.#drainListener = listener;
  }

  get pendingBytes(): number {
    return this.#waitingBytes;
  }

  onFinished(listener: () => void): void {
    void this.#finished.promise.then(listener);
  }

  end(chunk?: Uint8Array | string): void {
    if (chunk !== undefined) this.write(chunk);
    const { events, response } = this.#options.translator.end();
    this.#finish(events, response);
  }

  send(status: number, _headers: Record<string, string>, body: Uint8Array | string): void {
    const { translator } = this.#options;
    if (status < 400) {
      const whole = translator.answer(bytesOf(body));
      if (whole !== null) return this.#finish(translator.end().events, whole);
      return this.fail('server_error', 'the engine answered with something that is no chat answer');
    }
    const { code, message } = errorOf(readErrorAnswer(status, bytesOf(body)));
    this.fail(code, message);
  }

  /** Ends it as failed, unless it has ended. */
  fail(code: string, message: string): void {
    if (this.#ended) return;
    this.#options.translator.fail(code, inResponsesWords(message));
    this.end();
  }

  destroy(): void {
    this.fail('server_error', 'what was generated could not be kept: the state database does not keep up');
    this.cancel();
  }

  #finish(events: ResponseEventOut[], response: ResponseObject): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#add(events);
    const last = this.#options.translator.last(response);
    void this.#storeAll()
      .then(() => this.#options.keepEnd(response, this.#options.keepEvents ? [last] : []))
      .finally(() => {
        this.#options.onStored();
        this.#finished.resolve();
      });
  }

  #add(events: ResponseEventOut[]): void {
    if (!this.#options.keepEvents || events.length === 0) return;
    this.#waiting.push(...events);
    this.#waitingBytes += events.reduce((sum, { data }) => sum + data.length, 0);
    void this.#storeAll();
  }

  #storeAll(): Promise<void> {
    this.#storing ??= this.#store().finally(() => {
      this.#storing = null;
    });
    return this.#storing;
  }

  /** One write at a time; what comes meanwhile goes with the next. */
  async #store(): Promise<void> {
    const { id, store, onStored } = this.#options;
    while (this.#waiting.length > 0) {
      const events = this.#waiting;
      this.#waiting = [];
      try {
        await store.appendEvents(
          id,
          events.map(({ sequence, data }) => ({ sequence, data })),
        );
      } catch {
        // A gap in the events would mislead a reader: the response fails, and says why.
        this.#waitingBytes = 0;
        if (!this.#ended) this.destroy();
        return;
      }
      this.#waitingBytes -= events.reduce((sum, { data }) => sum + data.length, 0);
      onStored();
      if (this.#waitingBytes < WAITING_BYTES_MAX) {
        this.#drainListener?.();
        this.#drainListener = null;
      }
    }
  }
}

function noBody(): PlatformError {
  return new PlatformError('internal', 'a background response has no body to read');
}
