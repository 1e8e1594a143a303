/**
 * The weight of `dynamic-weighted`: 1 / (0.6 · gpuLoad + 0.4 · memoryUsage), exactly, wherever the denominator is at least
 * DENOMINATOR_MIN. Below it the formula runs away (an idle replica would get everything), so the denominator counts as
 * DENOMINATOR_MIN and the weight is at most 100.
 */
const GPU_LOAD_FACTOR = 0.6;
const MEMORY_USAGE_FACTOR = 0.4;
const DENOMINATOR_MIN = 0.01;

/** Both are ratios; values outside 0 to 1 count as the nearer end. NaN when one of them is unknown. */
export function dynamicWeight(gpuLoad: number, memoryUsage: number): number {
  const denominator = GPU_LOAD_FACTOR * ratio(gpuLoad) + MEMORY_USAGE_FACTOR * ratio(memoryUsage);
  return 1 / Math.max(DENOMINATOR_MIN, denominator);
}

function ratio(value: number): number {
  return Math.min(1, Math.max(0, value));
}
