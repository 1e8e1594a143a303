/**
 * The recovery machine with its time: events go in one after another, each preceded by the present moment; effects come out
 * in order. The machine is woken when it asks to be, never on a fixed beat.
 */
import type { Clock } from '../../base/clock.ts';
import { nextDeadlineMs } from '../../decide/recovery/deadlines.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import type { RecoveryEffect } from '../../decide/recovery/recovery-effect.ts';
import type { RecoveryEvent } from '../../decide/recovery/recovery-event.ts';
import { step } from '../../decide/recovery/step.ts';

/** setTimeout takes no more; the machine is then woken early, which does no harm. */
const TIMER_MS_MAX = 2_000_000_000;

export class RecoveryLoop {
  readonly #clock: Clock;
  readonly #onEffect: (effect: RecoveryEffect) => void;
  readonly #onStep: () => void;
  readonly #queue: RecoveryEvent[] = [];
  #state: FleetState;
  #running = false;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(
    initial: FleetState,
    parts: { clock: Clock; onEffect: (effect: RecoveryEffect) => void; onStep: () => void },
  ) {
    this.#state = initial;
    this.#clock = parts.clock;
    this.#onEffect = parts.onEffect;
    this.#onStep = parts.onStep;
  }

  get state(): FleetState {
    return this.#state;
  }

  /** Takes events in the order of the calls, also from within an effect. */
  deliver(...events: RecoveryEvent[]): void {
    if (this.#closed) return;
    this.#queue.push(...events);
    if (this.#running) return;
    this.#running = true;
    try {
      this.#step({ type: 'ticked', nowMs: this.#clock.monotonicMs() });
      for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift())
        this.#step(event);
    } finally {
      this.#running = false;
    }
    this.#onStep();
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #step(event: RecoveryEvent): void {
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#onEffect(effect);
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const dueMs = nextDeadlineMs(this.#state);
    if (this.#closed || dueMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.ceil(dueMs - this.#clock.monotonicMs());
    this.#timer = setTimeout(() => this.deliver(), Math.min(TIMER_MS_MAX, Math.max(1, waitMs)));
  }
}
