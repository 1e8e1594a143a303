/**
 * Keeps the raw events that a stream has delivered, so that it can be continued. Nothing is parsed until it is needed, or
 * until the raw events take more room than the text in them is worth; bounded in any case.
 */

import { addEvents, type Delivered, emptyDelivered } from '../../wire/openai/delivered-stream.ts';

/** Raw bytes kept before they are folded into text (about a tenth of the size). */
const RAW_BYTES_MAX = 131_072;
/** Of the first piece of memory, which is doubled up to that when it is full: most streams are short. */
const RAW_BYTES_FIRST = 4_096;

export class DeliveredLog {
  readonly #bytesMax: number;
  /** Copies: the buffers of a thousand reads, kept, would all grow old before they are let go. */
  #raw: Buffer | null = null;
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
      this.#raw = null;
      this.#rawBytes = 0;
      this.#folded = emptyDelivered();
      return;
    }
    if (this.#rawBytes + frames.length > RAW_BYTES_MAX) this.#fold();
    if (frames.length > RAW_BYTES_MAX) addEvents(this.#folded, frames.toString('utf8'));
    else this.#keep(frames);
  }

  #keep(frames: Buffer): void {
    const used = this.#rawBytes;
    this.#rawBytes += frames.length;
    if (this.#raw === null || this.#rawBytes > this.#raw.length)
      this.#raw = grown(this.#raw, used, this.#rawBytes);
    frames.copy(this.#raw, used);
  }

  /** A copy of all that was delivered: what is delivered later does not change it. */
  read(): Delivered {
    this.#fold();
    return structuredClone(this.#folded);
  }

  #fold(): void {
    if (this.#raw !== null) addEvents(this.#folded, this.#raw.toString('utf8', 0, this.#rawBytes));
    this.#rawBytes = 0;
  }
}

function grown(raw: Buffer | null, used: number, needed: number): Buffer {
  let size = raw?.length ?? RAW_BYTES_FIRST;
  while (size < needed) size *= 2;
  const larger = Buffer.allocUnsafeSlow(size);
  raw?.copy(larger, 0, 0, used);
  return larger;
}
