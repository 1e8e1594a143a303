/**
 * Stop strings that straddle the seam of a continued stream: the first part was delivered, the rest is generated anew, so
 * neither engine sees the whole. The guard holds back new text while it could complete such a stop string.
 */
export class SeamStopGuard {
  readonly #stops: readonly string[];
  /** Delivered text that could be the beginning of a stop string. */
  #tail: string;
  #held = '';
  #passed = false;
  /** The stop string that lies across the seam, once `push` said `stop`. */
  met: string | null = null;

  constructor(deliveredText: string, stops: readonly string[]) {
    this.#stops = stops;
    const longest = Math.max(0, ...stops.map((stop) => stop.length));
    this.#tail = longest > 1 ? deliveredText.slice(-(longest - 1)) : '';
    this.#passed = this.#tail === '';
  }

  /**
   * `hold`: the text so far may be part of a stop string across the seam; keep the event back. `pass`: send it, and all that
   * was kept back. `stop`: a stop string is complete across the seam; what was kept back is part of it.
   */
  push(text: string): 'pass' | 'hold' | 'stop' {
    if (this.#passed) return 'pass';
    this.#held += text;
    const joined = this.#tail + this.#held;
    for (const stop of this.#stops) {
      for (let start = 0; start < this.#tail.length; start++) {
        if (!joined.startsWith(stop, start) || start + stop.length <= this.#tail.length) continue;
        this.met = stop;
        return 'stop';
      }
    }
    if (this.#couldComplete(joined)) return 'hold';
    this.#passed = true;
    return 'pass';
  }

  #couldComplete(joined: string): boolean {
    for (let start = 0; start < this.#tail.length; start++) {
      const rest = joined.slice(start);
      if (this.#stops.some((stop) => stop.length > rest.length && stop.startsWith(rest))) return true;
    }
    return false;
  }
}
