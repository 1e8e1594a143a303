/**
 * The body of one request: read whole, or chunk by chunk with backpressure, and bounded either way. The connection feeds it;
 * what nobody wants is thrown away for a moment, and a body that takes too long is given up.
 */
import { PlatformError } from '../../../contract/errors.ts';
import type { RequestHead } from '../http1/request-parser.ts';
import { GatheredBytes } from './gathered-bytes.ts';

/** How long bodies may take, ms. */
export interface BodyLimits {
  /** For a body that is read whole. */
  wholeMs: number;
  /** For one that is read in chunks: such bodies are large. */
  chunkedMs: number;
  /** In one that is read in chunks, the longest silence of a client that is being waited for. */
  silenceMs: number;
}

/** Where the bytes come from. */
export interface BodySource {
  pause(): void;
  resume(): void;
  /** Tells a client that waits for it to send the body. */
  sendContinue(): void;
  /** No further request is read from this connection. */
  closeAfterAnswer(): void;
  /** Cuts the connection. */
  destroy(): void;
}

/** How long the rest of a body that nobody wants is read and thrown away. */
const DISCARD_MS = 2_000;
/** And how much of it at most. */
const DISCARD_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes that are kept for a reader who has not come yet, or has not asked for more; the client is held back then. */
const AHEAD_BYTES_MAX = 65_536;

/** A body that is read whole may come slowly for so long ... */
const SLOW_S_MAX = 10;
/** ... and for each second beyond that must have brought so many bytes, as with Apache's mod_reqtimeout. */
const BYTES_PER_SECOND_MIN = 1_024;

type Use = 'nobody' | 'whole' | 'chunks' | 'discard';

export class RequestBody {
  readonly #head: RequestHead;
  readonly #source: BodySource;
  readonly #limits: BodyLimits;
  /** When it is given up, monotonic. */
  lateAtMs: number;
  #complete: boolean;
  #answered = false;
  #secondsSeen = 0;
  #use: Use = 'nobody';
  readonly #pieces = new GatheredBytes();
  #bytes = 0;
  #bytesMax = 0;
  /** Why the rest of the body will not come. */
  #fault: PlatformError | null = null;
  /** Of whoever waits for more of the body. */
  #wake: (() => void) | null = null;

  constructor(head: RequestHead, source: BodySource, limits: BodyLimits) {
    this.#head = head;
    this.#source = source;
    this.#limits = limits;
    this.#complete = head.length === 0;
    this.lateAtMs = this.#complete ? 0 : performance.now() + limits.wholeMs;
  }

  /** All of it has come. */
  get complete(): boolean {
    return this.#complete;
  }

  /**
   * It is read whole, and comes too slowly. To be called about once a second: calls are counted instead of time, so that a
   * loop that stood still is no fault of the client's.
   */
  isTooSlow(): boolean {
    if (this.#use !== 'whole') return false;
    const slowS = ++this.#secondsSeen - SLOW_S_MAX;
    return slowS > 0 && this.#bytes < slowS * BYTES_PER_SECOND_MIN;
  }

  push(bytes: Buffer): void {
    this.#bytes += bytes.length;
    switch (this.#use) {
      case 'discard':
        if (this.#bytes > DISCARD_BYTES_MAX) this.#source.destroy();
        return;
      case 'whole':
        if (this.#bytes > this.#bytesMax) return this.#stop(this.#tooLarge(`more than ${this.#bytesMax}`));
        this.#pieces.add(bytes);
        return;
      case 'chunks':
        this.#pieces.add(bytes);
        this.#source.pause();
        return this.#wake?.();
      case 'nobody':
        this.#pieces.add(bytes);
        if (this.#bytes > AHEAD_BYTES_MAX) this.#source.pause();
    }
  }

  end(): void {
    this.#complete = true;
    this.#wake?.();
  }

  /**
   * The rest of the body will not come, or would be nonsense: its reader gets `fault`, and answers. False when nobody reads
   * it any more.
   */
  fail(fault: PlatformError): boolean {
    if (this.#complete || this.#answered || this.#fault !== null) return false;
    this.#source.closeAfterAnswer();
    this.#stop(fault);
    return true;
  }

  /** The connection is gone. */
  lose(): void {
    if (!this.#complete && this.#fault === null) this.#stop(departed());
  }

  /** The request is answered: whatever of the body is still to come nobody reads. */
  answered(): void {
    this.#answered = true;
    if (!this.#complete && this.#use !== 'discard') this.#discardRest();
  }

  /** Rejects with `body_too_large`, `unsupported_media_type`, `client_closed` or what `fail` said. */
  read(bytesMax: number): Promise<Buffer> {
    const refused = this.#fault ?? this.#refusal(bytesMax);
    if (refused !== null) return Promise.reject(refused);
    if (this.#bytes > bytesMax) return Promise.reject(this.#tooLarge(`more than ${bytesMax}`));
    if (this.#complete) return Promise.resolve(this.#pieces.take());
    this.#use = 'whole';
    this.#bytesMax = bytesMax;
    this.#askForRest();
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        if (this.#fault !== null) reject(this.#fault);
        else if (this.#complete) resolve(this.#pieces.take());
      };
    });
  }

  /** The client sends on only as fast as chunks are taken. Throws what `read` rejects with. */
  async *chunks(bytesMax: number): AsyncGenerator<Buffer, void, undefined> {
    const refused = this.#fault ?? this.#refusal(bytesMax);
    if (refused !== null) throw refused;
    const endAtMs = performance.now() + this.#limits.chunkedMs;
    this.#use = 'chunks';
    let size = 0;
    try {
      for (;;) {
        this.lateAtMs = Math.min(endAtMs, performance.now() + this.#limits.silenceMs);
        const chunk = await this.#nextChunk();
        if (chunk === null) return;
        size += chunk.length;
        this.#bytesMax = bytesMax;
        if (size > bytesMax) throw this.#tooLarge(`more than ${bytesMax}`);
        // A reader of ours that is slow is no fault of the client's.
        this.lateAtMs = endAtMs;
        yield chunk;
      }
    } finally {
      this.#wake = null;
      if (!this.#complete) this.#discardRest();
    }
  }

  /** Null at the end. */
  async #nextChunk(): Promise<Buffer | null> {
    for (;;) {
      const chunk = this.#pieces.shift();
      if (chunk !== undefined) return chunk;
      if (this.#complete) return null;
      if (this.#fault !== null) throw this.#fault;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#askForRest();
      });
    }
  }

  #askForRest(): void {
    if (this.#bytes === 0) this.#source.sendContinue();
    this.#source.resume();
  }

  #refusal(bytesMax: number): PlatformError | null {
    const encoding = this.#head.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      return new PlatformError(
        'unsupported_media_type',
        `Content-Encoding "${encoding.slice(0, 40)}" is not supported; send the body as it is`,
      );
    }
    this.#bytesMax = bytesMax;
    const { length } = this.#head;
    return length !== null && length > bytesMax ? this.#tooLarge(String(length)) : null;
  }

  #tooLarge(found: string): PlatformError {
    if (!this.#complete) this.#discardRest();
    return new PlatformError(
      'body_too_large',
      `the body has ${found} bytes; the limit is ${this.#bytesMax} bytes`,
    );
  }

  #stop(fault: PlatformError): void {
    this.#fault = fault;
    const wake = this.#wake;
    if (this.#use !== 'discard') this.#discardRest();
    wake?.();
  }

  /**
   * What is still on its way is thrown away for a moment. A connection that is closed over unread bytes is reset, and the
   * client may then never read the answer.
   */
  #discardRest(): void {
    this.#use = 'discard';
    this.#pieces.clear();
    this.#bytes = 0;
    this.lateAtMs = performance.now() + DISCARD_MS;
    this.#source.resume();
  }
}

function departed(): PlatformError {
  return new PlatformError('client_closed', 'the client closed the connection while it sent the body');
}
