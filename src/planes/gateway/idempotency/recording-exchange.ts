/**
 * The exchange of a request with an `Idempotency-Key`: passes everything on and keeps a copy. A good answer is stored before
 * its end reaches the client, so that a client who has read it and asks again is given the same.
 */
import type { HttpExchange } from '../../../contract/ports/http-exchange.ts';
import type { KeptAnswer } from '../../../contract/ports/idempotency-store.ts';
import type { RequestRecord } from '../request-record.ts';
import { bytesOf, WrappedExchange } from '../wrapped-exchange.ts';

/** An answer beyond this is given and not kept. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;
/** Each answer has these of its own. */
const OWN_HEADERS =
  /^(x-request-id|request-id|content-length|openai-processing-ms|(x|anthropic)-ratelimit-.*)$/;

export interface RecordingOptions {
  /** Read already: the key is claimed for path and body. */
  body: Buffer;
  record: RequestRecord;
  /** More headers for the answer. */
  headers: Readonly<Record<string, string>>;
  /** Null when it must not be kept. Never rejects. */
  settle(answer: KeptAnswer | null): Promise<void>;
}

export class RecordingExchange extends WrappedExchange {
  readonly #options: RecordingOptions;
  #status = 0;
  #headers: Record<string, string> = {};
  #chunks: Buffer[] = [];
  #bytes = 0;
  #settled = false;

  constructor(inner: HttpExchange, options: RecordingOptions) {
    super(inner);
    this.#options = options;
  }

  /** The request is over; the claim is given back when there was no whole answer. */
  async close(): Promise<void> {
    await this.#settle(false);
  }

  override readBody(): Promise<Buffer> {
    return Promise.resolve(this.#options.body);
  }

  override async *bodyChunks(): AsyncGenerator<Buffer, void, undefined> {
    yield this.#options.body;
  }

  override sendHead(status: number, headers: Record<string, string>): void {
    this.#noteHead(status, headers);
    this.inner.sendHead(status, { ...headers, ...this.#options.headers });
  }

  override write(chunk: Uint8Array | string): boolean {
    this.#note(chunk);
    return this.inner.write(chunk);
  }

  override end(chunk?: Uint8Array | string): void {
    if (chunk !== undefined) this.#note(chunk);
    void this.#settle(this.#isGood()).then(() => this.inner.end(chunk));
  }

  override send(status: number, headers: Record<string, string>, body: Uint8Array | string): void {
    this.#noteHead(status, headers);
    this.#note(body);
    void this.#settle(this.#isGood()).then(() =>
      this.inner.send(status, { ...headers, ...this.#options.headers }, body),
    );
  }

  /** A stream that ends with an error has status 200 too; the record knows of it by then. */
  #isGood(): boolean {
    return this.#status >= 200 && this.#status < 300 && this.#options.record.errorCode === null;
  }

  #noteHead(status: number, headers: Record<string, string>): void {
    this.#status = status;
    this.#headers = Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_HEADERS.test(name)));
  }

  #note(chunk: Uint8Array | string): void {
    const bytes = bytesOf(chunk);
    this.#bytes += bytes.length;
    if (this.#bytes <= KEPT_BYTES_MAX) this.#chunks.push(bytes);
    else this.#chunks = [];
  }

  async #settle(good: boolean): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    // Whole is what was said to its end, whether its client was still there to hear it or not: that one will ask again.
    const whole = good && this.#bytes <= KEPT_BYTES_MAX;
    const answer = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#chunks) };
    await this.#options.settle(whole ? answer : null);
    this.#chunks = [];
  }
}
