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
  /** The rates that held then, where this gateway had only a part of some; null: the whole of all. */
  rates: readonly Rate[] | null;
  settled: boolean;
}

/** Retry-After where a place comes free when some request ends, or another gateway goes. */
const CONCURRENCY_RETRY_MS = 1_000;
const NS_PER_MS = 1_000_000;

export class RequestLimits {
  readonly #rates: RateCells;
  readonly #concurrency: ConcurrencyCells;
  readonly #partOf: (limit: BoundLimit) => Rate;

  /** @param partOf the part of a limit that this gateway may use now; `limit.rate` itself where it is the whole. */
  constructor(
    rates: RateCells,
    concurrency: ConcurrencyCells,
    partOf: (limit: BoundLimit) => Rate = ({ rate }) => rate,
  ) {
    this.#rates = rates;
    this.#concurrency = concurrency;
    this.#partOf = partOf;
  }

  /**
   * @param tokens what the request may use: its prompt and the longest answer that it allows. More than this gateway's part of a
   *   limit, but not more than the limit, takes all of that part, and owes the rest when it is settled.
   * @param sparedRatio this much of each rate must be left for others, or the rate be unused: for work that may wait.
   */
  admit(limits: readonly BoundLimit[], tokens: number, nowMs: number, sparedRatio = 0): LimitVerdict {
    const nowNs = toNs(nowMs);
    for (const limit of limits) {
      const units = unitsOf(limit, tokens);
      if (!(units <= limit.rate.amount) || limit.rate.amount <= 0) return { kind: 'too-large', limit, units };
    }
    const asked: Asked = { tokens: atLeastZero(tokens), nowNs, sparedRatio, rates: this.#parts(limits) };
    const refusal = this.#longestWait(limits, asked);
    if (refusal !== null) return refusal;
    for (let taken = 0; taken < limits.length; taken++) {
      const retryAfterMs = this.#take(limits, taken, asked);
      if (retryAfterMs === 0) continue;
      while (taken-- > 0) this.#giveBack(limits, taken, asked);
      return this.#longestWait(limits, asked) ?? { kind: 'refused', limit: limits[0]!, retryAfterMs };
    }
    return {
      kind: 'admitted',
      reservation: { limits, tokens: asked.tokens, rates: asked.rates, settled: false },
    };
  }

  /**
   * The request is over and used `tokensUsed`; null: it never reached an engine, and everything is given back. What it did not
   * use is free again at once; what it used beyond the reservation is owed.
   */
  settle(reservation: Reservation, tokensUsed: number | null, nowMs: number): void {
    if (reservation.settled) return;
    reservation.settled = true;
    const { limits, tokens, rates } = reservation;
    const nowNs = toNs(nowMs);
    for (const [index, limit] of limits.entries()) {
      if (limit.kind === 'concurrency') {
        this.#concurrency.release(limit.cell);
        continue;
      }
      if (tokensUsed !== null && limit.kind === 'requests') continue;
      const then = rateAt(limits, rates, index);
      const reserved = chargedUnits(limit, tokens, then);
      const used = tokensUsed === null ? 0 : atLeastZero(tokensUsed);
      const now = this.#partOf(limit);
      // Parts change while requests run: what is given back is never more of the bucket than it is worth in either.
      const byNow = used < reserved === then.amount < now.amount;
      const rate = byNow && now.amount > 0 ? now : then;
      this.#rates.adjust(limit.cell, rate, reserved, used, nowNs);
    }
  }

  /** What is left of each limit, for headers; of rates, over all gateways that share it. */
  remaining(limit: BoundLimit, nowMs: number): { remaining: number; resetMs: number } {
    const { kind, cell, rate } = limit;
    if (kind !== 'concurrency') return this.#rates.read(cell, rate, toNs(nowMs));
    const { amount } = this.#partOf(limit);
    return { remaining: Math.max(0, amount - this.#concurrency.inFlight(cell)), resetMs: 0 };
  }

  /** Null: the whole of all. */
  #parts(limits: readonly BoundLimit[]): Rate[] | null {
    let parts: Rate[] | null = null;
    for (let index = 0; index < limits.length; index++) {
      const limit = limits[index]!;
      const part = this.#partOf(limit);
      if (part === limit.rate) continue;
      parts ??= limits.map(({ rate }) => rate);
      parts[index] = part;
    }
    return parts;
  }

  /** The refusal of the limit that must be waited for longest; null: all have room. */
  #longestWait(limits: readonly BoundLimit[], asked: Asked): LimitVerdict | null {
    let longest: LimitVerdict | null = null;
    let longestMs = 0;
    for (let index = 0; index < limits.length; index++) {
      const waitMs = this.#waitMs(limits, index, asked);
      if (waitMs <= longestMs) continue;
      longestMs = waitMs;
      longest = { kind: 'refused', limit: limits[index]!, retryAfterMs: waitMs };
    }
    return longest;
  }

  #waitMs(
    limits: readonly BoundLimit[],
    index: number,
    { tokens, nowNs, sparedRatio, rates }: Asked,
  ): number {
    const limit = limits[index]!;
    const rate = rateAt(limits, rates, index);
    if (limit.kind === 'concurrency') {
      return this.#concurrency.inFlight(limit.cell) < rate.amount ? 0 : CONCURRENCY_RETRY_MS;
    }
    if (rate.amount <= 0) return CONCURRENCY_RETRY_MS;
    const units = chargedUnits(limit, tokens, rate);
    const spared = sparedUnits(rate, units, sparedRatio);
    return Number(this.#rates.waitNs(limit.cell, rate, units, nowNs, spared)) / NS_PER_MS;
  }

  /** 0: taken; otherwise milliseconds until it would fit. */
  #take(limits: readonly BoundLimit[], index: number, { tokens, nowNs, sparedRatio, rates }: Asked): number {
    const limit = limits[index]!;
    const rate = rateAt(limits, rates, index);
    if (limit.kind === 'concurrency') {
      return this.#concurrency.tryAcquire(limit.cell, rate.amount) ? 0 : CONCURRENCY_RETRY_MS;
    }
    const units = chargedUnits(limit, tokens, rate);
    const spared = sparedUnits(rate, units, sparedRatio);
    return Number(this.#rates.charge(limit.cell, rate, units, nowNs, spared)) / NS_PER_MS;
  }

  #giveBack(limits: readonly BoundLimit[], index: number, { tokens, nowNs, rates }: Asked): void {
    const limit = limits[index]!;
    if (limit.kind === 'concurrency') return this.#concurrency.release(limit.cell);
    const rate = rateAt(limits, rates, index);
    this.#rates.adjust(limit.cell, rate, chargedUnits(limit, tokens, rate), 0, nowNs);
  }
}

/** One request at the moment of its admission. */
interface Asked {
  tokens: number;
  nowNs: bigint;
  sparedRatio: number;
  rates: readonly Rate[] | null;
}

function rateAt(limits: readonly BoundLimit[], rates: readonly Rate[] | null, index: number): Rate {
  return rates === null ? limits[index]!.rate : rates[index]!;
}

function unitsOf({ kind }: BoundLimit, tokens: number): number {
  return kind === 'tokens' ? atLeastZero(tokens) : 1;
}

/** What is larger than a part takes all of it. */
function chargedUnits(limit: BoundLimit, tokens: number, { amount }: Rate): number {
  return Math.min(amount, unitsOf(limit, tokens));
}

/** What is too large for the rest has the whole of an unused rate. */
function sparedUnits({ amount }: Rate, units: number, sparedRatio: number): number {
  return Math.min(amount * sparedRatio, amount - units);
}

/** A request that claims to use less than nothing must not fill a bucket. NaN stays, and fits nowhere. */
function atLeastZero(tokens: number): number {
  return tokens < 0 ? 0 : tokens;
}

/** The part of a limit that one of several gateway processes keeps to; the parts add up to the whole. */
export function shareOfLimit(amount: number, gateways: number, gateway: number): number {
  return Math.floor(amount / gateways) + (gateway < amount % gateways ? 1 : 0);
}
