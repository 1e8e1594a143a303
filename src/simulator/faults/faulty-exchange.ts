/**
 * An HTTP exchange whose answer can be made to fail while it runs: fall silent, be cut, or end before its time. The dialect
 * writes to it as to any other and does not notice; the client does.
 */
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import type { AnswerFaults } from '../sequence.ts';

export class FaultyExchange implements HttpExchange, AnswerFaults {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HttpExchange['headers'];
  readonly fromLoopback: boolean;
  readonly #inner: HttpExchange;
  /** A body that was read already, to match it with a fault. */
  readonly #body: Buffer | undefined;
  /** From here on nothing of the dialect reaches the client. */
  #silent = false;
  #cutInsideNext = false;

  constructor(inner: HttpExchange, body: Buffer | undefined) {
    this.method = inner.method;
    this.path = inner.path;
    this.query = inner.query;
    this.headers = inner.headers;
    this.fromLoopback = inner.fromLoopback;
    this.#inner = inner;
    this.#body = body;
  }

  stall(): void {
    this.#silent = true;
  }

  truncate(how: 'reset' | 'mid-event' | 'end'): void {
    if (how === 'mid-event') {
      this.#cutInsideNext = true;
      return;
    }
    this.#silent = true;
    if (how === 'end' && this.#inner.headSent) this.#inner.end();
    else this.#inner.destroy();
  }

  get clientGone(): boolean {
    return this.#inner.clientGone;
  }

  get headSent(): boolean {
    return this.#inner.headSent;
  }

  onClientGone(listener: () => void): void {
    this.#inner.onClientGone(listener);
  }

  readBody(bytesMax: number): Promise<Buffer> {
    return this.#body === undefined ? this.#inner.readBody(bytesMax) : Promise.resolve(this.#body);
  }

  bodyChunks(bytesMax: number): AsyncIterable<Buffer> {
    return this.#inner.bodyChunks(bytesMax);
  }

  sendHead(status: number, headers: Record<string, string>): void {
    if (!this.#silent) this.#inner.sendHead(status, headers);
  }

  write(chunk: Uint8Array | string): boolean {
    if (this.#silent) return true;
    if (!this.#cutInsideNext) return this.#inner.write(chunk);
    const bytes = Buffer.from(chunk as Uint8Array);
    this.#silent = true;
    this.#inner.write(bytes.subarray(0, Math.ceil(bytes.length / 2)));
    // The half must have left before the socket is cut.
    setImmediate(() => this.#inner.destroy());
    return true;
  }

  onDrain(listener: () => void): void {
    this.#inner.onDrain(listener);
  }

  get pendingBytes(): number {
    return this.#inner.pendingBytes;
  }

  onFinished(listener: () => void): void {
    this.#inner.onFinished(listener);
  }

  end(chunk?: Uint8Array | string): void {
    if (!this.#silent) this.#inner.end(chunk);
  }

  send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    if (!this.#silent) this.#inner.send(status, headers, body);
  }

  destroy(): void {
    this.#inner.destroy();
  }
}
