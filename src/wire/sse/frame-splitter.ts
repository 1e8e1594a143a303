/**
 * Cuts a byte stream of server-sent events at event borders, without decoding it. An event ends at an empty line;
 * lines end in LF, CRLF or CR (WHATWG HTML, section 9.2.6). The pieces, joined, are the input byte for byte.
 *
 * The relay forwards only whole events, so that a stream cut by a dying engine ends on a border and can be continued.
 */
const LF = 10;
const CR = 13;

export class SseFrameSplitter {
  #pending: Buffer | null = null;
  /** True when the last byte seen ended a line (so an LF or CR now ends an event). */
  #atLineStart = true;
  /** True when the last byte was CR: a following LF belongs to the same line end. */
  #afterCr = false;
  /** True when that CR ended an event, so that the LF belongs to the event too. */
  #crEndedEvent = false;
  readonly #bytesMax: number;

  /** @param bytesMax an incomplete event may not grow beyond this (a broken engine must not eat our memory). */
  constructor(bytesMax = 16 * 1024 * 1024) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of the event that is not complete yet. */
  get pendingBytes(): number {
    return this.#pending?.length ?? 0;
  }

  /**
   * Takes the next bytes; returns the whole events they complete as one piece (null when none is complete).
   * Throws RangeError when an event outgrows the bound.
   */
  push(chunk: Buffer): Buffer | null {
    const end = this.#lastBorder(chunk);
    if (end === 0) {
      this.#keep(chunk);
      return null;
    }
    const head = end === chunk.length ? chunk : chunk.subarray(0, end);
    const whole = this.#pending === null ? head : Buffer.concat([this.#pending, head]);
    this.#pending = null;
    if (end < chunk.length) this.#keep(chunk.subarray(end));
    return whole;
  }

  /** What is left when the stream ends: an incomplete event, or null. */
  flush(): Buffer | null {
    const rest = this.#pending;
    this.#pending = null;
    return rest;
  }

  #keep(bytes: Buffer): void {
    const kept = this.#pending === null ? bytes : Buffer.concat([this.#pending, bytes]);
    if (kept.length > this.#bytesMax) {
      throw new RangeError(`an event of more than ${this.#bytesMax} bytes, without an end`);
    }
    this.#pending = kept;
  }

  /** Offset after the last event border in `chunk`, 0 when there is none. Keeps the line state across chunks. */
  #lastBorder(chunk: Buffer): number {
    // The common case: one or more whole events with LF line ends.
    const n = chunk.length;
    if (n >= 2 && chunk[n - 1] === LF && chunk[n - 2] === LF) {
      this.#atLineStart = true;
      this.#afterCr = false;
      return n;
    }
    let border = 0;
    let atLineStart = this.#atLineStart;
    let afterCr = this.#afterCr;
    let crEndedEvent = this.#crEndedEvent;
    for (let i = 0; i < n; i++) {
      const byte = chunk[i];
      if (byte === LF) {
        if (afterCr) {
          // The second half of a CRLF: the line end was counted at the CR.
          if (crEndedEvent) border = i + 1;
          afterCr = false;
          continue;
        }
        if (atLineStart) border = i + 1;
        atLineStart = true;
      } else if (byte === CR) {
        if (atLineStart) border = i + 1;
        crEndedEvent = atLineStart;
        atLineStart = true;
        afterCr = true;
        continue;
      } else {
        atLineStart = false;
      }
      afterCr = false;
    }
    this.#atLineStart = atLineStart;
    this.#afterCr = afterCr;
    this.#crEndedEvent = crEndedEvent;
    return border;
  }
}
