/**
 * Keeps the raw events that a stream has delivered, so that it can be continued. Nothing is parsed until it is needed, or
 * until the raw events take more room than the text in them is worth; bounded in any case.
 */

import { addEvents, type Delivered, emptyDelivered } from '../../wire/openai/delivered-stream.ts';

/** Raw bytes kept before they are folded into text (about a tenth of the size). */
const RAW_BYTES_MAX = 131_072;

export class DeliveredLog {
  readonly #bytesMax: number;
  #frames: Buffer[] = [];
  #rawBytes = 0;
  #totalBytes = 0;
  #folded: Delivered = emptyDelivered();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** More was delivered than may be kept: the stream can not be continued any more. */
  get overflowed(): boolean {
    return this.#totalBytes > this.#bytesMax;
  }

  add(frames: Buffer): void {
    this.#totalBytes += frames.length;
    if (this.overflowed) {
      // Of no use any more, and the reason for the bound.
      this.#frames = [];
      this.#folded = emptyDelivered();
      return;
    }
    this.#frames.push(frames);
    this.#rawBytes += frames.length;
    if (this.#rawBytes > RAW_BYTES_MAX) this.#fold();
  }

  /** A copy of all that was delivered: what is delivered later does not change it. */
  read(): Delivered {
    this.#fold();
    return structuredClone(this.#folded);
  }

  #fold(): void {
    addEvents(this.#folded, Buffer.concat(this.#frames).toString('utf8'));
    this.#frames = [];
    this.#rawBytes = 0;
  }
}
