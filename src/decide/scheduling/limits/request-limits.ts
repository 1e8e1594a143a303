/**
 * All limits of one request, taken together: first all are checked, then all are charged, so that a request refused by one
 * limit uses nothing of another. Between check and charge another worker may be faster; what was taken by then is given back.
 *
 * Never more than a limit allows is admitted. When one limit binds, exactly as much is admitted. When several bind at the same
 * moment, what a worker is about to give back may cost a request of another worker its place: at most one per other worker.
 */
import type { LimitKind, LimitScope } from '../../../contract/limits.ts';
import type { ConcurrencyCells } from './concurrency-cells.ts';
import { type Rate, type RateCells, toNs } from './rate-cells.ts';

export interface BoundLimit {
  kind: LimitKind;
  scope: LimitScope;
  /** What is limited, for messages: `key "ci"`, `key "ci" on model "m"`. */
  subject: string;
  /** Place in the rate cells, or in the concurrency cells. */
  cell: number;
  /** Concurrency: `amount` in flight; `windowMs` means nothing. */
  rate: Rate;
}

export type LimitVerdict =
  | { kind: 'admitted'; reservation: Reservation }
  /** It would fit after `retryAfterMs`; for concurrency nobody can know, and a second is said. */
  | { kind: 'refused'; limit: BoundLimit; retryAfterMs: number }
  /** It is larger than the limit allows at once, and would never fit. */
  | { kind: 'too-large'; limit: BoundLimit; units: number };

/** What an admitted request holds until it is settled, once. */
export interface Reservation {
  limits: readonly BoundLimit[];
  /** Tokens reserved. */
  tokens: number;
  settled: boolean;
}

/** Retry-After where a place comes free when some request ends. */
const CONCURRENCY_RETRY_MS = 1_000;
const NS_PER_MS = 1_000_000;

export class RequestLimits {
  readonly #rates: RateCells;
  readonly #concurrency: ConcurrencyCells;

  constructor(rates: RateCells, concurrency: ConcurrencyCells) {
    this.#rates = rates;
    this.#concurrency = concurrency;
  }

  /**
   * @param tokens what the request may use: its prompt and the longest answer that it allows.
   * @param sparedRatio this much of each rate must be left for others, or the rate be unused: for work that may wait.
   */
  admit(limits: readonly BoundLimit[], tokens: number, nowMs: number, sparedRatio = 0): LimitVerdict {
    const nowNs = toNs(nowMs);
    for (const limit of limits) {
      const units = unitsOf(limit, tokens);
      if (!(units <= limit.rate.amount) || limit.rate.amount <= 0) return { kind: 'too-large', limit, units };
    }
    const refusal = this.#longestWait(limits, tokens, nowNs, sparedRatio);
    if (refusal !== null) return refusal;
    for (let taken = 0; taken < limits.length; taken++) {
      const retryAfterMs = this.#take(limits[taken]!, tokens, nowNs, sparedRatio);
      if (retryAfterMs === 0) continue;
      while (taken-- > 0) this.#giveBack(limits[taken]!, tokens, nowNs);
      const longest = this.#longestWait(limits, tokens, nowNs, sparedRatio);
      return longest ?? { kind: 'refused', limit: limits[0]!, retryAfterMs };
    }
    return { kind: 'admitted', reservation: { limits, tokens: atLeastZero(tokens), settled: false } };
  }

  /**
   * The request is over and used `tokensUsed`; null: it never reached an engine, and everything is given back. What it did not
   * use is free again at once; what it used beyond the reservation is owed.
   */
  settle(reservation: Reservation, tokensUsed: number | null, nowMs: number): void {
    if (reservation.settled) return;
    reservation.settled = true;
    const nowNs = toNs(nowMs);
    for (const limit of reservation.limits) {
      if (tokensUsed === null) this.#giveBack(limit, reservation.tokens, nowNs);
      else if (limit.kind === 'concurrency') this.#concurrency.release(limit.cell);
      else if (limit.kind === 'tokens') {
        this.#rates.adjust(limit.cell, limit.rate, reservation.tokens, atLeastZero(tokensUsed), nowNs);
      }
    }
  }

  /** What is left of each limit, for headers. */
  remaining({ kind, cell, rate }: BoundLimit, nowMs: number): { remaining: number; resetMs: number } {
    if (kind !== 'concurrency') return this.#rates.read(cell, rate, toNs(nowMs));
    return { remaining: Math.max(0, rate.amount - this.#concurrency.inFlight(cell)), resetMs: 0 };
  }

  /** The refusal of the limit that must be waited for longest; null: all have room. */
  #longestWait(
    limits: readonly BoundLimit[],
    tokens: number,
    nowNs: bigint,
    sparedRatio: number,
  ): LimitVerdict | null {
    let longest: LimitVerdict | null = null;
    let longestMs = 0;
    for (const limit of limits) {
      const waitMs = this.#waitMs(limit, tokens, nowNs, sparedRatio);
      if (waitMs <= longestMs) continue;
      longestMs = waitMs;
      longest = { kind: 'refused', limit, retryAfterMs: waitMs };
    }
    return longest;
  }

  #waitMs(limit: BoundLimit, tokens: number, nowNs: bigint, sparedRatio: number): number {
    if (limit.kind === 'concurrency') {
      return this.#concurrency.inFlight(limit.cell) < limit.rate.amount ? 0 : CONCURRENCY_RETRY_MS;
    }
    const units = unitsOf(limit, tokens);
    const spared = sparedUnits(limit, units, sparedRatio);
    return Number(this.#rates.waitNs(limit.cell, limit.rate, units, nowNs, spared)) / NS_PER_MS;
  }

  /** 0: taken; otherwise milliseconds until it would fit. */
  #take(limit: BoundLimit, tokens: number, nowNs: bigint, sparedRatio: number): number {
    if (limit.kind === 'concurrency') {
      return this.#concurrency.tryAcquire(limit.cell, limit.rate.amount) ? 0 : CONCURRENCY_RETRY_MS;
    }
    const units = unitsOf(limit, tokens);
    const spared = sparedUnits(limit, units, sparedRatio);
    return Number(this.#rates.charge(limit.cell, limit.rate, units, nowNs, spared)) / NS_PER_MS;
  }

  #giveBack(limit: BoundLimit, tokens: number, nowNs: bigint): void {
    if (limit.kind === 'concurrency') this.#concurrency.release(limit.cell);
    else this.#rates.adjust(limit.cell, limit.rate, unitsOf(limit, tokens), 0, nowNs);
  }
}

function unitsOf({ kind }: BoundLimit, tokens: number): number {
  return kind === 'tokens' ? atLeastZero(tokens) : 1;
}

/** What is too large for the rest has the whole of an unused rate. */
function sparedUnits({ rate }: BoundLimit, units: number, sparedRatio: number): number {
  return Math.min(rate.amount * sparedRatio, rate.amount - units);
}

/** A request that claims to use less than nothing must not fill a bucket. NaN stays, and fits nowhere. */
function atLeastZero(tokens: number): number {
  return tokens < 0 ? 0 : tokens;
}

/** The part of a limit that one of several gateway processes keeps to; the parts add up to the whole. */
export function shareOfLimit(amount: number, gateways: number, gateway: number): number {
  return Math.floor(amount / gateways) + (gateway < amount % gateways ? 1 : 0);
}
