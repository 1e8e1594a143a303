/**
 * Keeps the raw events that a stream has delivered, so that it can be continued. Nothing is parsed until it is needed, or
 * until the raw events take more room than the text in them is worth; bounded in any case.
 */

import { addEvents, type Delivered, emptyDelivered } from '../../wire/openai/delivered-stream.ts';
import { EventDeltas } from './event-deltas.ts';

/** Memory for raw events, beyond which they are folded into text. */
const RAW_BYTES_MAX = 131_072;

export class DeliveredLog {
  readonly #bytesMax: number;
  readonly #raw = new EventDeltas();
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
      this.#raw.clear();
      this.#folded = emptyDelivered();
      return;
    }
    if (this.#raw.held + frames.length > RAW_BYTES_MAX) this.#fold();
    if (frames.length > RAW_BYTES_MAX) addEvents(this.#folded, frames.toString('utf8'));
    else this.#raw.add(frames);
  }

  /** A copy of all that was delivered: what is delivered later does not change it. */
  read(): Delivered {
    this.#fold();
    return structuredClone(this.#folded);
  }

  #fold(): void {
    if (this.#raw.total > 0) addEvents(this.#folded, this.#raw.read().toString('utf8'));
    this.#raw.clear();
  }
}
