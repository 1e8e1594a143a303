/**
 * Detectors of drifts: a moving average, a z-score and an exponentially weighted average. They find that a series has left its
 * own past, which is a reason to look closer and never one to restart: `diagnose` puts what they find beside the verdict.
 */
import type { Suspicion } from '../../contract/diagnosis.ts';
import type { Point, SignalWindow } from './signals.ts';
import { trendOf } from './trend.ts';

/** Fewer points have no past. */
const POINTS_MIN = 12;
/** Latest part of a series, which is compared with what was before. */
const RECENT_SHARE = 4;
const Z_SCORE_MIN = 4;
const EWMA_WEIGHT = 0.2;
const EWMA_LIMIT = 3;
/** Changes below this share of the level are noise of a quiet series, however significant. */
const CHANGE_RATIO_MIN = 0.1;

interface Watched {
  series: string;
  unit: 'bytes' | 'ms' | 'ratio';
  points: readonly Point[];
}

export function findDrifts(window: SignalWindow): Suspicion[] {
  const kv = (window.metrics ?? []).flatMap((sample) =>
    sample.ok && sample.kvRatio !== undefined ? [{ atMs: sample.atMs, value: sample.kvRatio }] : [],
  );
  const watched: Watched[] = [
    { series: 'resident memory', unit: 'bytes', points: window.rss ?? [] },
    { series: 'latency per token', unit: 'ms', points: window.latencyPerToken ?? [] },
    { series: 'cache use', unit: 'ratio', points: kv },
    { series: 'error rate', unit: 'ratio', points: window.errorRate ?? [] },
  ];
  const limit = window.memoryLimitBytes;
  return [
    ...watched.flatMap(suspicionsAbout),
    ...(limit === undefined ? [] : memorySlope(window.rss ?? [], limit)),
  ];
}

function suspicionsAbout({ series, unit, points }: Watched): Suspicion[] {
  const values = points.map(({ value }) => value).filter(Number.isFinite);
  if (values.length < POINTS_MIN) return [];
  const recentCount = Math.floor(values.length / RECENT_SHARE);
  const past = values.slice(0, -recentCount);
  const recent = values.slice(-recentCount);
  const { mean, deviation } = describe(past);
  const level = describe(recent).mean;
  // An error rate of 0 has no level to compare with.
  const scale = Math.max(Math.abs(mean), unit === 'ratio' ? CHANGE_RATIO_MIN : 0);
  const noise = Math.max(deviation, scale * 0.02, Number.EPSILON);
  if (level - mean < scale * CHANGE_RATIO_MIN) return [];
  const shown = `${show(mean, unit)} -> ${show(level, unit)}`;
  const found: Suspicion[] = [];
  const z = (level - mean) / noise;
  if (z >= Z_SCORE_MIN) {
    const text = `${series} is ${z.toFixed(1)} standard deviations above its past: ${shown}`;
    found.push({ series, detector: 'z-score', text });
  }
  const weighted = values.reduce((average, value) => average + EWMA_WEIGHT * (value - average), mean);
  // Standard deviation of such an average, in the limit (Roberts 1959).
  const limit = EWMA_LIMIT * noise * Math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT));
  if (weighted - mean > limit) {
    const text = `the weighted average of ${series} has left its band: ${shown}`;
    found.push({ series, detector: 'ewma', text });
  }
  if (risesThroughout(values)) {
    const text = `the moving average of ${series} rises through the whole window: ${show(values[0] as number, unit)} -> ${show(values.at(-1) as number, unit)}`;
    found.push({ series, detector: 'moving-average', text });
  }
  return found;
}

/** Averages of four quarters, each above the one before. */
function risesThroughout(values: readonly number[]): boolean {
  const size = Math.floor(values.length / RECENT_SHARE);
  const averages = [0, 1, 2, 3].map((part) => describe(values.slice(part * size, (part + 1) * size)).mean);
  return averages.every((average, part) => part === 0 || average > (averages[part - 1] as number) * 1.02);
}

function memorySlope(points: readonly Point[], limitBytes: number): Suspicion[] {
  const hoursLeft = hoursToLimit(points, limitBytes);
  if (hoursLeft === null) return [];
  const text = `resident memory reaches its limit of ${show(limitBytes, 'bytes')} in about ${hoursLeft < 1 ? `${Math.max(1, Math.round(hoursLeft * 60))} min` : `${hoursLeft.toFixed(1)} h`} at its present slope`;
  return [{ series: 'resident memory', detector: 'moving-average', text }];
}

const HOURS_AHEAD_MAX = 24;

/** By a line of least squares; null: it does not grow, or not so fast that the limit is near. */
function hoursToLimit(points: readonly Point[], limitBytes: number): number | null {
  if (points.length < POINTS_MIN) return null;
  const bytesPerMs = trendOf(points)?.perMs ?? 0;
  const left = limitBytes - (points.at(-1)?.value ?? 0);
  const hours = left / bytesPerMs / 3_600_000;
  return bytesPerMs > 0 && hours >= 0 && hours <= HOURS_AHEAD_MAX ? hours : null;
}

function describe(values: readonly number[]): { mean: number; deviation: number } {
  if (values.length === 0) return { mean: 0, deviation: 0 };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

function show(value: number, unit: Watched['unit']): string {
  if (unit === 'bytes') return `${(value / 2 ** 30).toFixed(2)} GiB`;
  return unit === 'ms' ? `${value.toFixed(1)} ms` : `${(value * 100).toFixed(1)} %`;
}
