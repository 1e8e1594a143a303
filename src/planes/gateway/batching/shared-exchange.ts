/**
 * What the request loop takes for the client of a call that is made for several: it keeps the answer, which is never a stream, for
 * them, and is gone when the last of them is.
 */
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import { bytesOf } from '../wrapped-exchange.ts';

export interface SharedAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export class SharedExchange implements HttpExchange {
  readonly method = 'POST';
  readonly path = '';
  readonly query = '';
  readonly fromLoopback = false;
  readonly pendingBytes = 0;
  readonly headers: HttpExchange['headers'];
  clientGone = false;
  /** Null until there is one. */
  answer: SharedAnswer | null = null;
  #onGone: () => void = () => {};
  #onFinished: (() => void)[] = [];

  constructor(headers: HttpExchange['headers']) {
    this.headers = headers;
  }

  /** Nobody wants the answer any more. */
  leave(): void {
    if (this.clientGone || this.answer !== null) return;
    this.clientGone = true;
    this.#onGone();
    this.#finish();
  }

  get headSent(): boolean {
    return this.answer !== null;
  }

  onClientGone(listener: () => void): void {
    this.#onGone = listener;
  }

  onFinished(listener: () => void): void {
    if (this.clientGone || this.answer !== null) listener();
    else this.#onFinished.push(listener);
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.answer = { status, headers, body: bytesOf(body) };
    this.#finish();
  }

  destroy(): void {
    this.leave();
  }

  readBody(): Promise<Buffer> {
    return Promise.reject(neverCalled());
  }

  bodyChunks(): AsyncIterable<Buffer> {
    throw neverCalled();
  }

  sendHead(): void {
    throw neverCalled();
  }

  write(): boolean {
    throw neverCalled();
  }

  onDrain(): void {
    throw neverCalled();
  }

  end(): void {
    throw neverCalled();
  }

  #finish(): void {
    for (const listener of this.#onFinished.splice(0)) listener();
  }
}

/** The body was read before, and the answer is whole. */
function neverCalled(): Error {
  return new Error('a call for several requests has no body of its own and no stream');
}
