/**
 * Bytes that arrive piece by piece and are wanted as one. A piece that came whole is not copied; where a client sends millions of
 * tiny ones, they share memory: a buffer for each would take a hundred times their size.
 */
const OWN_BUFFERS_MAX = 64;
const SHARED_BYTES = 65_536;
/** Larger pieces are worth a buffer of their own. */
const SMALL_BYTES = 16_384;

const EMPTY = Buffer.alloc(0);

export class GatheredBytes {
  #pieces: Buffer[] = [];
  /** The last of the pieces, when small ones are copied into it. */
  #shared: Buffer | null = null;
  #sharedUsed = 0;

  add(bytes: Buffer): void {
    if (this.#pieces.length < OWN_BUFFERS_MAX || bytes.length > SMALL_BYTES) {
      this.#closeShared();
      this.#pieces.push(bytes);
      return;
    }
    if (this.#shared !== null && this.#sharedUsed + bytes.length > SHARED_BYTES) this.#closeShared();
    if (this.#shared === null) {
      this.#shared = Buffer.allocUnsafeSlow(SHARED_BYTES);
      this.#pieces.push(this.#shared);
    }
    this.#sharedUsed += bytes.copy(this.#shared, this.#sharedUsed);
  }

  /** How many buffers hold it all. */
  get buffers(): number {
    return this.#pieces.length;
  }

  /** All of it; nothing is left. */
  take(): Buffer {
    this.#closeShared();
    const pieces = this.#pieces;
    this.#pieces = [];
    if (pieces.length === 1) return pieces[0] as Buffer;
    return pieces.length === 0 ? EMPTY : Buffer.concat(pieces);
  }

  /** The first piece; undefined: there is none. */
  shift(): Buffer | undefined {
    this.#closeShared();
    return this.#pieces.shift();
  }

  clear(): void {
    this.#pieces = [];
    this.#shared = null;
    this.#sharedUsed = 0;
  }

  #closeShared(): void {
    if (this.#shared === null) return;
    this.#pieces[this.#pieces.length - 1] = this.#shared.subarray(0, this.#sharedUsed);
    this.#shared = null;
    this.#sharedUsed = 0;
  }
}
