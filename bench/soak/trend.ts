/** Whether a figure grows: its slope by least squares, and how sure that is. Pure. */

export interface Point {
  atMinutes: number;
  value: number;
}

export interface Trend {
  points: number;
  first: number;
  last: number;
  /** Of the value, per minute. */
  slope: number;
  /** The slope with 95 % confidence lies from here ... */
  low: number;
  /** ... to here. */
  high: number;
}

/** Two-sided 95 % of Student's t with 1 to 10 degrees of freedom; above that it is 1.96 + 2.5 / degrees within 1 %. */
const T95 = [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/**
 * Samples that follow each other are alike (a heap fills and empties slowly), so they say less than their number suggests: the
 * interval is that of `n (1 - r) / (1 + r)` samples, with r the correlation of each residual with the next.
 */
export function trendOf(points: readonly Point[]): Trend {
  const count = points.length;
  if (count < 4) throw new RangeError(`a trend of ${count} points; 4 or more are right`);
  const mean = (pick: (point: Point) => number) =>
    points.reduce((sum, point) => sum + pick(point), 0) / count;
  const [x0, y0] = [mean(({ atMinutes }) => atMinutes), mean(({ value }) => value)];
  const spread = points.reduce((sum, { atMinutes }) => sum + (atMinutes - x0) ** 2, 0);
  const slope =
    points.reduce((sum, { atMinutes, value }) => sum + (atMinutes - x0) * (value - y0), 0) / spread;
  const residuals = points.map(({ atMinutes, value }) => value - y0 - slope * (atMinutes - x0));
  const squares = residuals.reduce((sum, residual) => sum + residual ** 2, 0);
  const pairs = residuals.reduce((sum, residual, at) => sum + residual * (residuals[at + 1] ?? 0), 0);
  const alike = squares === 0 ? 0 : Math.min(0.95, Math.max(0, pairs / squares));
  const effective = Math.max(3, (count * (1 - alike)) / (1 + alike));
  const degrees = effective - 2;
  const margin = t95(degrees) * Math.sqrt(squares / degrees / spread);
  const at = (minutes: number) => y0 + slope * (minutes - x0);
  const [first, last] = [points[0] as Point, points[count - 1] as Point];
  return {
    points: count,
    first: at(first.atMinutes),
    last: at(last.atMinutes),
    slope,
    low: slope - margin,
    high: slope + margin,
  };
}

function t95(degrees: number): number {
  return T95[Math.max(1, Math.floor(degrees)) - 1] ?? 1.96 + 2.5 / degrees;
}
