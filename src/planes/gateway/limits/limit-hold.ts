/**
 * What one request holds of its limits, from its admission to its end, and what the client is told of them. Settled once;
 * settling it again changes nothing.
 */
import type { Clock } from '../../../base/clock.ts';
import type { SharedCharge, SharedLimits } from '../../../contract/ports/shared-limits.ts';
import {
  bindingLimits,
  type LimitReading,
  rateLimitHeaders,
} from '../../../decide/scheduling/limits/rate-limit-headers.ts';
import type {
  BoundLimit,
  RequestLimits,
  Reservation,
} from '../../../decide/scheduling/limits/request-limits.ts';
import { anthropicRateLimitHeaders } from '../../../wire/anthropic/rate-limit-headers.ts';
import type { ErrorDialect } from '../error-dialect.ts';

/** Of what several gateways share. */
export interface SharedReservation {
  limits: SharedLimits;
  charges: readonly (SharedCharge & { ofTokens: boolean })[];
}

export class LimitHold {
  readonly #state: RequestLimits;
  readonly #clock: Clock;
  #shown: readonly BoundLimit[];
  #readings: ReadonlyMap<BoundLimit, LimitReading> = new Map();
  #reservations: Reservation[] = [];
  #shared: SharedReservation[] = [];

  /** @param limits all that the request meets, for the headers of its answer. */
  constructor(state: RequestLimits, clock: Clock, limits: readonly BoundLimit[]) {
    this.#state = state;
    this.#clock = clock;
    this.#shown = limits;
  }

  add(reservation: Reservation): void {
    this.#reservations.push(reservation);
  }

  addShared(reservation: SharedReservation): void {
    this.#shared.push(reservation);
  }

  /** Headers are about these limits; `readings` of those that are not counted here. */
  show(limits: readonly BoundLimit[], readings: ReadonlyMap<BoundLimit, LimitReading>): void {
    this.#shown = limits;
    this.#readings = readings;
  }

  /** What goes on without this request, holds what this one held; here only the headers stay. */
  handOver(): LimitHold {
    const heir = new LimitHold(this.#state, this.#clock, this.#shown);
    heir.#readings = this.#readings;
    heir.#reservations = this.#reservations;
    heir.#shared = this.#shared;
    this.#reservations = [];
    this.#shared = [];
    return heir;
  }

  /** @param tokensUsed null: no engine was reached, and all is given back. */
  settle(tokensUsed: number | null): void {
    const nowMs = this.#clock.machineMs();
    for (const reservation of this.#reservations) this.#state.settle(reservation, tokensUsed, nowMs);
    for (const { limits, charges } of this.#shared) {
      limits.adjust(
        charges.map(({ rate, units, ofTokens }) => {
          return { rate, units, used: tokensUsed === null ? 0 : ofTokens ? Math.max(0, tokensUsed) : units };
        }),
      );
    }
    this.#reservations = [];
    this.#shared = [];
  }

  /** What is left of a limit at this moment, or was at the admission where it is not counted here. */
  read(limit: BoundLimit): LimitReading {
    return this.#readings.get(limit) ?? this.#state.remaining(limit, this.#clock.machineMs());
  }

  headers(dialect: ErrorDialect): Record<string, string> {
    const nowMs = this.#clock.machineMs();
    const binding = bindingLimits(
      this.#shown,
      (limit) => this.#readings.get(limit) ?? this.#state.remaining(limit, nowMs),
    );
    if (dialect === 'openai') return rateLimitHeaders(binding);
    return anthropicRateLimitHeaders(binding, this.#clock.wallMs());
  }
}
