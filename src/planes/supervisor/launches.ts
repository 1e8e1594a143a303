/**
 * Starts that are being prepared. Each ends by its time limit, when its replica is given up, or with the supervisor, and a
 * driver that answers later starts nothing any more.
 */
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../contract/errors.ts';
import type { FleetState } from '../../decide/recovery/fleet-state.ts';
import type { RecoveryOrder } from '../../decide/recovery/recovery-effect.ts';

export type SpawnOrder = Extract<RecoveryOrder, { type: 'spawn' }>;

export class Launches {
  readonly #clock: Clock;
  readonly #underWay = new Map<SpawnOrder, AbortController>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `launch` starts no process once its signal has fired, which says why. */
  async run<Result>(order: SpawnOrder, launch: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const controller = new AbortController();
    const leftMs = Math.max(0, order.notAfterMs - this.#clock.monotonicMs());
    const late = `the start of ${order.replica} was not prepared within ${Math.round(leftMs)} ms`;
    const timer = setTimeout(() => controller.abort(new PlatformError('internal', late)), leftMs);
    this.#underWay.set(order, controller);
    try {
      return await launch(controller.signal);
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(order);
    }
  }

  /** Called after each step of the machine: a start that nobody wants any more is called off. */
  review({ replicas }: FleetState): void {
    for (const [{ replica: id, generation }, controller] of this.#underWay) {
      const replica = replicas[id];
      if (replica === undefined || replica.generation !== generation || isUnwanted(replica.goal.kind))
        controller.abort(new PlatformError('conflict', `the start of ${id} was called off`));
    }
  }

  close(): void {
    for (const controller of this.#underWay.values())
      controller.abort(new PlatformError('conflict', 'the supervisor ends'));
  }
}

function isUnwanted(goal: FleetState['replicas'][string]['goal']['kind']): boolean {
  return goal === 'stop' || goal === 'remove';
}

/** Settles as `work` does, but no later than the signal fires; what `work` brings after that is dropped. */
export async function untilAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
