/** The text of one part of a bundle while it is gathered: bounded, and whole at every moment, for the time may be over at any. */
export class PartText {
  readonly #bytesMax: number;
  readonly #pieces: string[] = [];
  #bytes = 0;
  #isFull = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** There was more than there is room for. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  add(text: string): void {
    if (this.#isFull) return;
    const bytes = Buffer.byteLength(text);
    if (this.#bytes + bytes > this.#bytesMax) {
      this.#isFull = true;
      const room = Buffer.from(text)
        .subarray(0, this.#bytesMax - this.#bytes)
        .toString('utf8');
      this.#pieces.push(room);
      this.#bytes += Buffer.byteLength(room);
      return;
    }
    this.#pieces.push(text);
    this.#bytes += bytes;
  }

  toString(): string {
    return this.#pieces.join('');
  }
}

/** Why a part is not there, in words; thrown by whoever gathers it. */
export class NotThere extends Error {}
