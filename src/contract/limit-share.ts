/**
 * How gateways of one node keep to limits together while there is more than one of them: each has a part of every limit, and
 * whoever comes or leaves hands over what is used. Said between node and gateways, never on the path of a request.
 */

/** Of each limited thing by its id, how much of this gateway's part of its requests and its tokens is used; 0: nothing, 1: all. */
export type UsedRates = Record<string, [requests: number, tokens: number]>;

/** By id of what is limited: requests under way. Default: 0. */
export type HeldPlaces = Record<string, number>;

export interface LimitShare {
  /** 0 to `of` - 1. */
  part: number;
  /** Gateways that take requests. */
  of: number;
  /** The others that live. `part` null: it takes nothing new and finishes what it has. */
  others: { part: number | null; held: HeldPlaces }[];
  /** Those that took requests when this was last said and do no more. `used` null: not known, and taken for all. */
  left: { part: number; of: number; used: UsedRates | null }[];
  /** What is used of this part from the beginning; null: what was used stays used. */
  begin: UsedRates | null;
  /** To be answered with `LimitUse` when it holds; null: no answer is waited for. */
  ask: number | null;
}

export interface LimitUse {
  /** False: it takes nothing new, and what it says of rates is its last word. */
  taking: boolean;
  used: UsedRates;
  held: HeldPlaces;
  /** Of the share that this answers; null: said unasked. */
  answers: number | null;
}
