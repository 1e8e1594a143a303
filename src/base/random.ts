/**
 * Seeded chance. The pure form threads a 32-bit state through `nextRandom`; the object form hides it.
 * Algorithm: mulberry32 (public domain, 32-bit state, period 2^32), enough for jitter and simulations, never for secrets.
 */
export type RandomState = number;

/** One draw: a number in [0, 1) and the state that follows. */
export function nextRandom(state: RandomState): [value: number, next: RandomState] {
  const next = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(next ^ (next >>> 15), 1 | next);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return [((t ^ (t >>> 14)) >>> 0) / 4294967296, next];
}

/** Mixes several integers into one 32-bit value; used for position-keyed seeds and for hashing in simulations. */
export function mix32(...parts: number[]): number {
  let h = 0x9e3779b9;
  for (const part of parts) {
    h = Math.imul(h ^ (part | 0), 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h >>> 0;
}

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** An integer in [0, exclusiveMax). */
  int(exclusiveMax: number): number;
  pick<T>(items: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  let state: RandomState = seed | 0;
  const next = () => {
    const [value, following] = nextRandom(state);
    state = following;
    return value;
  };
  const int = (exclusiveMax: number) => Math.floor(next() * exclusiveMax);
  return {
    next,
    int,
    pick: (items) => {
      if (items.length === 0) throw new RangeError('pick from an empty list');
      return items[int(items.length)] as (typeof items)[number];
    },
  };
}

/** A factor with median 1 from two draws in [0, 1): lognormal by Box-Muller. `sigma` 0 gives 1. */
export function lognormal(sigma: number, first: number, second: number): number {
  if (sigma === 0) return 1;
  const normal = Math.sqrt(-2 * Math.log(1 - first)) * Math.cos(2 * Math.PI * second);
  return Math.exp(sigma * normal);
}
