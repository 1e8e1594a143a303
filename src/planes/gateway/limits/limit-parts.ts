/**
 * The part of each limit that this gateway may use while there are others of its node, in memory that all its threads share: the
 * main thread writes it (share-keeper.ts), workers read it at each admission. Alone, a gateway has the whole of all limits.
 *
 * 32-bit cells: whether anything is shared | part | of how many | per limited thing: requests that may be under way here, plus one.
 */
import { LIMITED_MAX } from '../../../contract/limits.ts';
import type { Rate } from '../../../decide/scheduling/limits/rate-cells.ts';
import { type BoundLimit, shareOfLimit } from '../../../decide/scheduling/limits/request-limits.ts';
import { isBookkeeping } from './limited.ts';

const IS_SHARED = 0;
const PART = 1;
const OF = 2;
const PLACES_AT = 3;
export const PART_BYTES = (PLACES_AT + LIMITED_MAX) * 4;

export class LimitParts {
  readonly #cells: Int32Array;
  /** Rates are counted elsewhere, for all gateways together. */
  readonly #placesOnly: boolean;

  constructor(memory: SharedArrayBuffer, { placesOnly = false }: { placesOnly?: boolean } = {}) {
    this.#cells = new Int32Array(memory);
    this.#placesOnly = placesOnly;
  }

  /** `limit.rate` itself where it is the whole. */
  readonly of = (limit: BoundLimit): Rate => {
    if (Atomics.load(this.#cells, IS_SHARED) === 0) return limit.rate;
    if (limit.kind === 'concurrency') return this.#placesOf(limit);
    const gateways = Atomics.load(this.#cells, OF);
    if (this.#placesOnly || gateways <= 1) return limit.rate;
    const amount = shareOfLimit(limit.rate.amount, gateways, Atomics.load(this.#cells, PART));
    return { amount, windowMs: limit.rate.windowMs };
  };

  setShare({ part, of, isShared }: { part: number; of: number; isShared: boolean }): void {
    Atomics.store(this.#cells, PART, part);
    Atomics.store(this.#cells, OF, of);
    Atomics.store(this.#cells, IS_SHARED, isShared ? 1 : 0);
  }

  /** @param slot of the limited thing; null: as many as its limit says. */
  setPlaces(slot: number, places: number | null): void {
    Atomics.store(this.#cells, PLACES_AT + slot, places === null ? 0 : places + 1);
  }

  #placesOf(limit: BoundLimit): Rate {
    if (isBookkeeping(limit)) return limit.rate;
    const found = Atomics.load(this.#cells, PLACES_AT + (limit.cell >> 1));
    return found === 0 ? limit.rate : { amount: found - 1, windowMs: limit.rate.windowMs };
  }
}
