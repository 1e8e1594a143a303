/**
 * The largest batch that an engine takes, as it shows: a batch that was refused whole while all its parts were answered was too
 * large, and for a while none is made that is larger than those parts. Then the configured size is tried again.
 */
const HOLDS_MS = 60_000;

export class BatchCeiling {
  #unitsMax = Number.POSITIVE_INFINITY;
  #untilMs = 0;

  /** @param configured what it may be at most. */
  unitsMax(configured: number, nowMs: number): number {
    return nowMs < this.#untilMs ? Math.min(configured, this.#unitsMax) : configured;
  }

  /** Parts of so many units were answered, and all of them together were not. */
  lower(units: number, nowMs: number): void {
    this.#unitsMax = Math.max(1, nowMs < this.#untilMs ? Math.min(this.#unitsMax, units) : units);
    this.#untilMs = nowMs + HOLDS_MS;
  }
}
