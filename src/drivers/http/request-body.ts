/**
 * The body of one request: read whole, or chunk by chunk with backpressure, and bounded either way. A body that takes too
 * long is given up: `BodyDeadlines` looks at all of them from time to time instead of keeping a timer for each.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { IndexedList, type ListItem } from '../../base/indexed-list.ts';
import { PlatformError } from '../../contract/errors.ts';

/** How long bodies may take, ms. */
export interface BodyLimits {
  /** For a body that is read whole. */
  wholeMs: number;
  /** For one that is read in chunks: such bodies are large. */
  chunkedMs: number;
  /** In one that is read in chunks, the longest silence of a client that is being waited for. */
  silenceMs: number;
}

/** How long the rest of a body that nobody wants is read and thrown away. */
const DISCARD_MS = 2_000;
/** And how much of it at most. */
const DISCARD_BYTES_MAX = 64 * 1024 * 1024;

/** Bodies that have not arrived in full, each with the moment at which it is given up. */
export class BodyDeadlines {
  readonly #bodies = new IndexedList<RequestBody>();
  readonly #intervalMs: number;
  readonly #onLate: (body: RequestBody) => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(intervalMs: number, onLate: (body: RequestBody) => void) {
    this.#intervalMs = intervalMs;
    this.#onLate = onLate;
  }

  add(body: RequestBody): void {
    this.#bodies.add(body);
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#sweep(), this.#intervalMs);
    this.#timer.unref();
  }

  remove(body: RequestBody): void {
    this.#bodies.remove(body);
  }

  #sweep(): void {
    const nowMs = performance.now();
    this.#bodies.forEach((body) => {
      if (body.arrived) this.remove(body);
      else if (nowMs > body.lateAtMs) {
        this.remove(body);
        this.#onLate(body);
      }
    });
    if (this.#bodies.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

export class RequestBody implements ListItem {
  /** Of `BodyDeadlines`. */
  listAt = -1;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly #limits: BodyLimits;
  readonly #deadlines: BodyDeadlines;
  #lateAtMs: number;
  #discarding = false;
  /** Why the rest of the body will not come. */
  #fault: PlatformError | null = null;
  /** Of whoever waits for more of the body. */
  #reject: ((fault: PlatformError) => void) | null = null;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    { limits, deadlines }: { limits: BodyLimits; deadlines: BodyDeadlines },
  ) {
    this.request = request;
    this.response = response;
    this.#limits = limits;
    this.#deadlines = deadlines;
    this.#lateAtMs = 0;
    const { headers } = request;
    if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0) return;
    this.#lateAtMs = performance.now() + limits.wholeMs;
    deadlines.add(this);
  }

  get arrived(): boolean {
    return this.request.complete || this.request.destroyed;
  }

  /** Monotonic. */
  get lateAtMs(): number {
    return this.#lateAtMs;
  }

  /**
   * The rest of the body will not come, or would be nonsense: its reader gets `fault`, and answers. False when nobody reads
   * it any more.
   */
  fail(fault: PlatformError): boolean {
    const { request, response } = this;
    if (request.complete || response.headersSent || response.destroyed || this.#fault !== null) return false;
    this.#fault = fault;
    response.setHeader('connection', 'close');
    this.#discardRest();
    this.#reject?.(fault);
    return true;
  }

  /** Rejects with `body_too_large`, `unsupported_media_type` or `client_closed`. */
  read(bytesMax: number): Promise<Buffer> {
    const refused = this.#refusal(bytesMax);
    if (refused !== null) return Promise.reject(refused);
    const { request } = this;
    if (this.#fault !== null) return Promise.reject(this.#fault);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      const chunks: Buffer[] = [];
      let size = 0;
      const onData = (chunk: Buffer) => {
        size += chunk.length;
        if (size <= bytesMax) return void chunks.push(chunk);
        request.off('data', onData);
        chunks.length = 0;
        reject(this.#tooLarge(`more than ${bytesMax}`, bytesMax));
      };
      request.on('data', onData);
      request.on('end', () => {
        this.#deadlines.remove(this);
        resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
      });
      request.on('error', () => reject(departed()));
      request.on('close', () => {
        if (!request.complete) reject(departed());
      });
    });
  }

  /** The client sends on only as fast as chunks are taken. Throws what `read` rejects with. */
  async *chunks(bytesMax: number): AsyncGenerator<Buffer, void, undefined> {
    const refused = this.#refusal(bytesMax);
    if (refused !== null) throw refused;
    const endAtMs = performance.now() + this.#limits.chunkedMs;
    if (this.#fault !== null) throw this.#fault;
    const intake = new Intake(this.request);
    this.#reject = (fault) => intake.fail(fault);
    let size = 0;
    try {
      for (;;) {
        this.#lateAtMs = Math.min(endAtMs, performance.now() + this.#limits.silenceMs);
        const chunk = await intake.next();
        if (chunk === null) return;
        size += chunk.length;
        if (size > bytesMax) throw this.#tooLarge(`more than ${bytesMax}`, bytesMax);
        // A reader of ours that is slow is no fault of the client's.
        this.#lateAtMs = endAtMs;
        yield chunk;
      }
    } finally {
      intake.close();
      if (this.request.complete) this.#deadlines.remove(this);
      else this.#discardRest();
    }
  }

  #refusal(bytesMax: number): PlatformError | null {
    const { headers } = this.request;
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      return new PlatformError(
        'unsupported_media_type',
        `Content-Encoding "${encoding.slice(0, 40)}" is not supported; send the body as it is`,
      );
    }
    const announced = Number(headers['content-length'] ?? 0);
    return announced > bytesMax ? this.#tooLarge(String(announced), bytesMax) : null;
  }

  #tooLarge(found: string, bytesMax: number): PlatformError {
    this.#discardRest();
    return new PlatformError('body_too_large', `the body has ${found} bytes; the limit is ${bytesMax} bytes`);
  }

  /**
   * What is still on its way is thrown away for a moment. A connection that is closed over unread bytes is reset, and the
   * client may then never read the answer.
   */
  #discardRest(): void {
    this.#lateAtMs = performance.now() + DISCARD_MS;
    this.#deadlines.add(this);
    if (this.#discarding) return;
    this.#discarding = true;
    let bytes = 0;
    this.request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > DISCARD_BYTES_MAX) this.request.socket.destroy();
    });
    this.request.resume();
  }
}

/** One chunk at a time off a request; the socket is read no further meanwhile. */
class Intake {
  readonly #request: IncomingMessage;
  readonly #onData = (chunk: Buffer) => {
    this.#request.pause();
    this.#chunks.push(chunk);
    this.#wake();
  };
  readonly #onEnd = () => {
    this.#ended = true;
    this.#wake();
  };
  readonly #onClose = () => {
    this.#lost = !this.#request.complete;
    this.#wake();
  };
  readonly #chunks: Buffer[] = [];
  #ended = false;
  #lost = false;
  #fault: PlatformError | null = null;
  #wake: () => void = () => {};

  constructor(request: IncomingMessage) {
    this.#request = request;
    request.on('data', this.#onData);
    request.on('end', this.#onEnd);
    request.on('error', this.#onClose);
    request.on('close', this.#onClose);
  }

  /** Null at the end. */
  async next(): Promise<Buffer | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) return chunk;
      if (this.#ended) return null;
      if (this.#fault !== null) throw this.#fault;
      if (this.#lost || this.#request.destroyed) throw departed();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#request.resume();
      });
    }
  }

  fail(fault: PlatformError): void {
    this.#fault = fault;
    this.#wake();
  }

  close(): void {
    this.#request.off('data', this.#onData);
    this.#request.off('end', this.#onEnd);
    this.#request.off('close', this.#onClose);
    // The error listener stays: an error that nobody hears would end the thread.
  }
}

function departed(): PlatformError {
  return new PlatformError('client_closed', 'the client closed the connection while it sent the body');
}
