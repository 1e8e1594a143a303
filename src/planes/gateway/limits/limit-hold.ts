/**
 * What one request holds of its limits, from its admission to its end, and what the client is told of them. Settled once;
 * settling it again changes nothing.
 */
import type { Clock } from '../../../base/clock.ts';
import { bindingLimits, rateLimitHeaders } from '../../../decide/scheduling/limits/rate-limit-headers.ts';
import type {
  BoundLimit,
  RequestLimits,
  Reservation,
} from '../../../decide/scheduling/limits/request-limits.ts';
import { anthropicRateLimitHeaders } from '../../../wire/anthropic/rate-limit-headers.ts';
import type { ErrorDialect } from '../error-dialect.ts';

export class LimitHold {
  readonly #state: RequestLimits;
  readonly #clock: Clock;
  readonly #limits: readonly BoundLimit[];
  #reservations: Reservation[] = [];

  /** @param limits all that the request meets, for the headers of its answer. */
  constructor(state: RequestLimits, clock: Clock, limits: readonly BoundLimit[]) {
    this.#state = state;
    this.#clock = clock;
    this.#limits = limits;
  }

  add(reservation: Reservation): void {
    this.#reservations.push(reservation);
  }

  /** What goes on without this request, holds what this one held; here only the headers stay. */
  handOver(): LimitHold {
    const heir = new LimitHold(this.#state, this.#clock, this.#limits);
    heir.#reservations = this.#reservations;
    this.#reservations = [];
    return heir;
  }

  /** @param tokensUsed null: no engine was reached, and all is given back. */
  settle(tokensUsed: number | null): void {
    const nowMs = this.#clock.machineMs();
    for (const reservation of this.#reservations) this.#state.settle(reservation, tokensUsed, nowMs);
  }

  /** As they are at this moment. */
  headers(dialect: ErrorDialect): Record<string, string> {
    const nowMs = this.#clock.machineMs();
    const binding = bindingLimits(this.#limits, (limit) => this.#state.remaining(limit, nowMs));
    if (dialect === 'openai') return rateLimitHeaders(binding);
    return anthropicRateLimitHeaders(binding, this.#clock.wallMs());
  }
}
