/**
 * Takes what a request needs where several gateways keep count of rates together, and from this gateway's share of them while
 * that place does not answer. What runs at once is counted by each gateway for itself.
 */
import type { SharedLimits } from '../../../contract/ports/shared-limits.ts';
import type { LimitReading } from '../../../decide/scheduling/limits/rate-limit-headers.ts';
import type {
  BoundLimit,
  LimitVerdict,
  RequestLimits,
  Reservation,
} from '../../../decide/scheduling/limits/request-limits.ts';
import type { LimitHold } from './limit-hold.ts';

export interface Asked {
  limits: readonly BoundLimit[];
  tokens: number;
  /** Of each rate, for others. */
  sparedRatio: number;
  /** Takes up what is taken. */
  hold: LimitHold;
}

export interface SharedTakingOptions {
  state: RequestLimits;
  shared: SharedLimits;
  /** The shared count did not answer. */
  onAlone(): void;
  machineMs(): number;
}

export class SharedTaking {
  readonly #options: SharedTakingOptions;

  constructor(options: SharedTakingOptions) {
    this.#options = options;
  }

  async take(asked: Asked): Promise<LimitVerdict> {
    const { state, onAlone, machineMs } = this.#options;
    const rates = asked.limits.filter(({ kind }) => kind !== 'concurrency');
    const tooLarge = rates.find((limit) => unitsOf(limit, asked.tokens) > limit.rate.amount);
    if (tooLarge !== undefined)
      return { kind: 'too-large', limit: tooLarge, units: unitsOf(tooLarge, asked.tokens) };
    const places = asked.limits.filter(({ kind }) => kind === 'concurrency');
    const placed = state.admit(places, 0, machineMs());
    if (placed.kind !== 'admitted' || rates.length === 0) {
      if (placed.kind === 'admitted') asked.hold.add(placed.reservation);
      return placed;
    }
    try {
      return await this.#takeShared(asked, rates, placed.reservation);
    } catch {
      onAlone();
      return this.#takeShare(asked, rates, placed.reservation);
    }
  }

  async #takeShared(asked: Asked, rates: readonly BoundLimit[], placed: Reservation): Promise<LimitVerdict> {
    const { shared, state, machineMs } = this.#options;
    const charges = rates.map((limit) => {
      const { amount, windowMs } = limit.rate;
      const units = unitsOf(limit, asked.tokens);
      return {
        rate: { id: `${limit.kind}:${limit.subject}`, amount, windowMs },
        units,
        spared: Math.min(amount * asked.sparedRatio, amount - units),
        ofTokens: limit.kind === 'tokens',
      };
    });
    const { refused, readings } = await shared.take(charges);
    asked.hold.show(
      asked.limits,
      new Map(rates.map((limit, index): [BoundLimit, LimitReading] => [limit, readings[index]!])),
    );
    if (refused !== null) {
      state.settle(placed, null, machineMs());
      return { kind: 'refused', limit: rates[refused.index]!, retryAfterMs: refused.retryAfterMs };
    }
    asked.hold.add(placed);
    asked.hold.addShared({ limits: shared, charges });
    return { kind: 'admitted', reservation: placed };
  }

  /** What is larger than this gateway's share takes all of it, and owes the rest when it is settled. */
  #takeShare(asked: Asked, rates: readonly BoundLimit[], placed: Reservation): LimitVerdict {
    const { state, shared, machineMs } = this.#options;
    const shares = rates.map((limit) => shareOf(limit, shared.gateways));
    const most = Math.min(
      ...shares.filter(({ kind }) => kind === 'tokens').map(({ rate }) => rate.amount),
      asked.tokens,
    );
    const verdict = state.admit(shares, most, machineMs(), asked.sparedRatio);
    asked.hold.show(shares, new Map());
    if (verdict.kind === 'admitted') {
      asked.hold.add(placed);
      asked.hold.add(verdict.reservation);
    } else state.settle(placed, null, machineMs());
    return verdict;
  }
}

function unitsOf({ kind }: BoundLimit, tokens: number): number {
  return kind === 'tokens' ? tokens : 1;
}

/** All shares together are no more than the whole, or one for each gateway. */
function shareOf(limit: BoundLimit, gateways: number): BoundLimit {
  const { amount, windowMs } = limit.rate;
  return { ...limit, rate: { amount: Math.max(1, Math.floor(amount / gateways)), windowMs } };
}
