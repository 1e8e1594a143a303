/**
 * How many requests a gateway may hold waiting, from how it fares: additive increase while it is calm, multiplicative decrease
 * when one of its signals, averaged over a sliding window, is beyond its target. `step(state, sample)`, one sample per period.
 */
export interface LoadSample {
  /** p99 of the event loop's delay in this period, ms. */
  eventLoopDelayMs: number;
  /** Share of the period spent in garbage collection, 0 to 1. */
  gcPauseRatio: number;
  /** Share of the gateway's processors in use, 0 to 1. */
  cpuRatio: number;
  /** How long what leaves the queue has waited, against the longest wait allowed, 0 to 1. */
  backlogRatio: number;
}

export interface AdaptiveLimitSettings {
  min: number;
  max: number;
  /** What each signal may be; above it the limit shrinks. */
  targets: LoadSample;
  /** Samples in the window. */
  windowSamples: number;
}

export const DEFAULT_TARGETS: LoadSample = {
  eventLoopDelayMs: 100,
  gcPauseRatio: 0.1,
  cpuRatio: 0.95,
  backlogRatio: 0.8,
};
export const DEFAULT_WINDOW_SAMPLES = 8;

export interface AdaptiveLimitState {
  limit: number;
  samples: readonly LoadSample[];
  /** Samples until the limit may shrink again: what a decrease does must show first. */
  holdSamples: number;
  /** The signal that is farthest beyond its target, with its ratio to it; for status and metrics. */
  pressure: { signal: keyof LoadSample; ratio: number };
}

const DECREASE_MIN = 0.5;
const DECREASE_MAX = 0.9;
/** Share of `max` gained per calm sample: from the floor back to the top in 20 samples. */
const INCREASE_RATIO = 0.05;
/** Between this and 1 the limit stays. */
const CALM_RATIO = 0.8;
const SIGNALS = ['eventLoopDelayMs', 'gcPauseRatio', 'cpuRatio', 'backlogRatio'] as const;

export function startLimit({ max }: AdaptiveLimitSettings): AdaptiveLimitState {
  return { limit: max, samples: [], holdSamples: 0, pressure: { signal: 'eventLoopDelayMs', ratio: 0 } };
}

export function stepLimit(
  state: AdaptiveLimitState,
  sample: LoadSample,
  settings: AdaptiveLimitSettings,
): AdaptiveLimitState {
  const samples = [...state.samples, sample].slice(-settings.windowSamples);
  const pressure = highestPressure(samples, settings.targets);
  if (pressure.ratio > 1 && state.holdSamples === 0) {
    const factor = Math.min(DECREASE_MAX, Math.max(DECREASE_MIN, 1 / pressure.ratio));
    const limit = Math.max(settings.min, Math.floor(state.limit * factor));
    return { limit, samples, holdSamples: Math.ceil(settings.windowSamples / 2), pressure };
  }
  const holdSamples = Math.max(0, state.holdSamples - 1);
  if (pressure.ratio >= CALM_RATIO) return { ...state, samples, holdSamples, pressure };
  const gained = Math.max(1, Math.ceil(settings.max * INCREASE_RATIO));
  return { limit: Math.min(settings.max, state.limit + gained), samples, holdSamples, pressure };
}

function highestPressure(
  samples: readonly LoadSample[],
  targets: LoadSample,
): AdaptiveLimitState['pressure'] {
  let highest: AdaptiveLimitState['pressure'] = { signal: 'eventLoopDelayMs', ratio: 0 };
  for (const signal of SIGNALS) {
    const known = samples.map((sample) => sample[signal]).filter(Number.isFinite);
    if (known.length === 0) continue;
    const ratio = known.reduce((sum, value) => sum + value, 0) / known.length / targets[signal];
    if (ratio > highest.ratio) highest = { signal, ratio };
  }
  return highest;
}
