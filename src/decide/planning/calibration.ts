/**
 * Costs of a step by least squares over measured steps. Errors are weighed as shares of the measured time, because a long step
 * varies by more milliseconds than a short one; no cost may be negative, for a step with more work is never shorter.
 */
import { type StepCosts, stepMs } from '../../contract/engine-model.ts';
import type { Calibration, MeasuredStep } from '../../contract/planning.ts';

const NAMES = ['c0', 'c1', 'c2', 'c3', 'c4'] as const;
type Name = (typeof NAMES)[number];

/** Below this, a pivot of the scaled equations says that two loads always came together. */
const PIVOT_MIN = 1e-9;

function terms({ prefillTokens, decodeBatch, decodeContext }: MeasuredStep): Record<Name, number> {
  return { c0: 1, c1: prefillTokens, c2: prefillTokens ** 2, c3: decodeBatch, c4: decodeContext };
}

/** @param steps at least one, each with a time above 0. */
export function fitCosts(steps: readonly MeasuredStep[]): Calibration {
  const rows = steps.map((step) => ({ term: terms(step), weight: 1 / step.stepMs }));
  const { solution, undetermined } = solveNonNegative(rows);
  const costs: StepCosts = { c0: 0, c1: 0, c2: 0, c3: 0, c4: 0, ...solution };
  return { costs, undetermined, ...quality(costs, steps) };
}

interface Row {
  term: Record<Name, number>;
  weight: number;
}

/** Takes out the most negative cost and solves again, until none is. */
function solveNonNegative(rows: readonly Row[]): {
  solution: Partial<StepCosts>;
  undetermined: Name[];
} {
  let used: readonly Name[] = NAMES;
  const undetermined: Name[] = [];
  for (;;) {
    const { values, dependent } = solve(rows, used);
    undetermined.push(...dependent);
    const independent = used.filter((name) => !dependent.includes(name));
    const lowest = independent.reduce<Name | null>(
      (least, name) => (values[name]! < (least === null ? 0 : values[least]!) ? name : least),
      null,
    );
    if (lowest === null) return { solution: values, undetermined };
    used = independent.filter((name) => name !== lowest);
  }
}

/** Normal equations over columns scaled to length 1, by elimination with the largest pivot; columns that depend on others get none. */
function solve(
  rows: readonly Row[],
  names: readonly Name[],
): { values: Partial<StepCosts>; dependent: Name[] } {
  const scale = (name: Name) =>
    Math.sqrt(rows.reduce((sum, { term, weight }) => sum + (term[name] * weight) ** 2, 0));
  const scales = names.map(scale);
  const column = (index: number, { term, weight }: Row) =>
    scales[index] === 0 ? 0 : (term[names[index]!] * weight) / scales[index]!;
  const matrix = names.map((_, a) =>
    names.map((__, b) => rows.reduce((sum, row) => sum + column(a, row) * column(b, row), 0)),
  );
  // Each measured time, weighed, is 1.
  const target = names.map((_, a) => rows.reduce((sum, row) => sum + column(a, row), 0));
  const pivots: number[] = [];
  const open = new Set(names.keys());
  while (open.size > 0) {
    const best = [...open].reduce((a, b) => (matrix[b]![b]! > matrix[a]![a]! ? b : a));
    const pivot = matrix[best]![best]!;
    if (pivot < PIVOT_MIN) break;
    open.delete(best);
    pivots.push(best);
    for (const row of names.keys()) {
      if (row === best) continue;
      const factor = matrix[row]![best]! / pivot;
      if (factor === 0) continue;
      for (const at of names.keys()) matrix[row]![at]! -= factor * matrix[best]![at]!;
      target[row]! -= factor * target[best]!;
    }
  }
  const values: Partial<StepCosts> = {};
  for (const at of pivots) values[names[at]!] = target[at]! / matrix[at]![at]! / scales[at]!;
  return { values, dependent: [...open].map((at) => names[at]!) };
}

function quality(
  costs: StepCosts,
  steps: readonly MeasuredStep[],
): Omit<Calibration, 'costs' | 'undetermined'> {
  const mean = steps.reduce((sum, { stepMs: ms }) => sum + ms, 0) / steps.length;
  let residual = 0;
  let total = 0;
  let share = 0;
  let worst: Calibration['worst'] | null = null;
  const measuredTo = { prefillTokens: 0, decodeBatch: 0, decodeContext: 0 };
  for (const step of steps) {
    const predictedMs = stepMs(costs, step);
    const error = (step.stepMs - predictedMs) / step.stepMs;
    residual += (step.stepMs - predictedMs) ** 2;
    total += (step.stepMs - mean) ** 2;
    share += Math.abs(error);
    if (worst === null || Math.abs(error) > Math.abs(worst.error)) worst = { ...step, predictedMs, error };
    for (const load of ['prefillTokens', 'decodeBatch', 'decodeContext'] as const)
      measuredTo[load] = Math.max(measuredTo[load], step[load]);
  }
  return {
    steps: steps.length,
    rSquared: total === 0 ? 1 : 1 - residual / total,
    meanError: share / steps.length,
    worst: worst!,
    measuredTo,
  };
}
