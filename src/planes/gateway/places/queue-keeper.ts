/**
 * The length of a gateway's queues, in its main thread: samples how the gateway fares (`decide/scheduling/queue/adaptive-limit`)
 * and writes what share of their configured length queues may have.
 */
import type { Clock } from '../../../base/clock.ts';
import type { GatewaySettings } from '../../../contract/gateway-snapshot.ts';
import {
  type AdaptiveLimitState,
  DEFAULT_TARGETS,
  DEFAULT_WINDOW_SAMPLES,
  startLimit,
  stepLimit,
} from '../../../decide/scheduling/queue/adaptive-limit.ts';
import type { LoadCells } from './load-cells.ts';

/** Queues are counted in thousandths of their configured length. */
const LIMITS = {
  min: 100,
  max: 1_000,
  targets: DEFAULT_TARGETS,
  windowSamples: DEFAULT_WINDOW_SAMPLES,
};

export interface QueueKeeperOptions {
  cells: LoadCells;
  clock: Pick<Clock, 'monotonicMs'>;
  /** Processor time of this process so far, all threads, ms. */
  cpuMs(): number;
  /** Processors that it may use. */
  processors: number;
}

export class QueueKeeper {
  readonly #options: QueueKeeperOptions;
  #state: AdaptiveLimitState = startLimit(LIMITS);
  #sampledMs: number;
  #cpuMs: number;

  constructor(options: QueueKeeperOptions) {
    this.#options = options;
    this.#sampledMs = options.clock.monotonicMs();
    this.#cpuMs = options.cpuMs();
  }

  /** Share of their configured length that queues may have, 0 to 1. */
  get share(): number {
    return this.#state.limit / LIMITS.max;
  }

  /** The signal that is farthest beyond its target. */
  get pressure(): AdaptiveLimitState['pressure'] {
    return this.#state.pressure;
  }

  /** To be called a few times a second. */
  tick({ queueAdaptive, queueTimeoutMs }: Pick<GatewaySettings, 'queueAdaptive' | 'queueTimeoutMs'>): void {
    const { cells, clock, cpuMs, processors } = this.#options;
    const nowMs = clock.monotonicMs();
    const periodMs = Math.max(1, nowMs - this.#sampledMs);
    const usedMs = cpuMs();
    const { eventLoopDelayMs, gcPauseMs, longestWaitMs } = cells.read();
    const sample = {
      eventLoopDelayMs,
      gcPauseRatio: Math.min(1, gcPauseMs / periodMs),
      cpuRatio: Math.min(1, (usedMs - this.#cpuMs) / periodMs / processors),
      backlogRatio: Math.min(1, longestWaitMs / queueTimeoutMs),
    };
    this.#sampledMs = nowMs;
    this.#cpuMs = usedMs;
    this.#state = queueAdaptive ? stepLimit(this.#state, sample, LIMITS) : startLimit(LIMITS);
    cells.queueShare = this.share;
  }
}
