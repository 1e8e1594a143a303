/** Bytes that may be in memory at once: whoever wants more waits for its turn. One that is larger than all of it goes alone. */
export class ByteBudget {
  readonly #bytesMax: number;
  #taken = 0;
  readonly #waiting: { bytes: number; go(): void }[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Resolves with what gives the bytes back, once. */
  async take(bytes: number): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((go) => this.#waiting.push({ bytes, go }));
    } else {
      this.#taken += bytes;
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#taken -= bytes;
      this.#next();
    };
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.#bytesMax;
  }

  #next(): void {
    for (
      let first = this.#waiting[0];
      first !== undefined && this.#fits(first.bytes);
      first = this.#waiting[0]
    ) {
      this.#waiting.shift();
      this.#taken += first.bytes;
      first.go();
    }
  }
}
