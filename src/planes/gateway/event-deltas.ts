/**
 * Keeps pieces of a byte stream that resemble each other, as what is new in each. The events of an engine's stream differ in a few
 * bytes of some hundred, so that a stream takes a tenth of the memory that its bytes would; nothing is parsed for it.
 *
 * Layout of a piece: bytes that it has in common with the beginning and the end of the one before, and how many are new (varints),
 * then the new ones.
 */
const FIRST_BYTES = 1_024;

export class EventDeltas {
  #bytes: Buffer | null = null;
  #used = 0;
  /** The piece that was added last: what the next one is compared with. */
  #last: Buffer | null = null;
  #lastLength = 0;
  #total = 0;

  /** Of all pieces, as they were added. */
  get total(): number {
    return this.#total;
  }

  /** Memory that they take. */
  get held(): number {
    return (this.#bytes?.length ?? 0) + (this.#last?.length ?? 0);
  }

  add(piece: Buffer): void {
    const { length } = piece;
    const last = this.#last;
    const shorter = Math.min(length, this.#lastLength);
    let before = 0;
    let after = 0;
    if (last !== null) {
      while (before < shorter && piece[before] === last[before]) before++;
      const most = shorter - before;
      while (after < most && piece[length - 1 - after] === last[this.#lastLength - 1 - after]) after++;
    }
    const fresh = length - before - after;
    const bytes = this.#room(fresh + 15);
    this.#put(bytes, before);
    this.#put(bytes, after);
    this.#put(bytes, fresh);
    if (fresh > 0) this.#used += piece.copy(bytes, this.#used, before, before + fresh);
    this.#total += length;
    this.#remember(piece);
  }

  /** All pieces, joined. */
  read(): Buffer {
    const whole = Buffer.allocUnsafe(this.#total);
    const bytes = this.#bytes;
    let at = 0;
    let end = 0;
    let lastStart = 0;
    const number = (): number => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = bytes![at++]!;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return value;
      }
    };
    while (at < this.#used) {
      const [before, after, fresh] = [number(), number(), number()];
      const start = end;
      end += whole.copy(whole, end, lastStart, lastStart + before);
      end += bytes!.copy(whole, end, at, at + fresh);
      at += fresh;
      end += whole.copy(whole, end, start - after, start);
      lastStart = start;
    }
    return whole;
  }

  clear(): void {
    this.#bytes = null;
    this.#last = null;
    this.#used = 0;
    this.#lastLength = 0;
    this.#total = 0;
  }

  #put(bytes: Buffer, value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) bytes[this.#used++] = (rest & 0x7f) | 0x80;
    bytes[this.#used++] = rest;
  }

  #room(needed: number): Buffer {
    const bytes = this.#bytes;
    if (bytes !== null && this.#used + needed <= bytes.length) return bytes;
    let size = bytes?.length ?? FIRST_BYTES;
    while (size < this.#used + needed) size *= 2;
    const larger = Buffer.allocUnsafeSlow(size);
    bytes?.copy(larger, 0, 0, this.#used);
    this.#bytes = larger;
    return larger;
  }

  /** A copy: the buffers of a thousand reads, kept, would all grow old before they are let go. */
  #remember(piece: Buffer): void {
    if (this.#last === null || this.#last.length < piece.length)
      this.#last = Buffer.allocUnsafeSlow(Math.max(512, 2 ** Math.ceil(Math.log2(piece.length + 1))));
    piece.copy(this.#last);
    this.#lastLength = piece.length;
  }
}
