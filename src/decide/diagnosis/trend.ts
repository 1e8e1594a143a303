/** The line of least squares through a series. */
import type { Point } from './signals.ts';

export interface Trend {
  perMs: number;
  /** How much of the movement the line explains, 0 to 1. */
  determination: number;
}

/** Undefined: fewer than two points, or all at one time. */
export function trendOf(points: readonly Point[]): Trend | undefined {
  const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanMs = meanOf(points.map(({ atMs }) => atMs));
  const mean = meanOf(points.map(({ value }) => value));
  let covariance = 0;
  let spread = 0;
  let variance = 0;
  for (const { atMs, value } of points) {
    covariance += (atMs - meanMs) * (value - mean);
    spread += (atMs - meanMs) ** 2;
    variance += (value - mean) ** 2;
  }
  if (points.length < 2 || spread === 0) return undefined;
  const determination = variance === 0 ? 0 : covariance ** 2 / (spread * variance);
  return { perMs: covariance / spread, determination };
}
