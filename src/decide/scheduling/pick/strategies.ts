/**
 * Named strategies as presets of filters, scorers and a picker, and the check at load that all data they need is there.
 */
import type { StrategyName } from '../../../contract/scheduling.ts';
import { DATA_NEEDS, type DataNeed } from './decision.ts';
import { FILTERS, type FilterName } from './filters.ts';
import { PICKERS, type PickerName } from './pickers.ts';
import { SCORERS, type ScorerName } from './scorers.ts';

export interface StrategySpec {
  filters: readonly FilterName[];
  /** With weights; their proportion counts. */
  scorers: readonly { name: ScorerName; weight: number }[];
  picker: PickerName;
}

const USUAL = ['serving', 'capable', 'fresh', 'room'] as const;
/** Decides among equals only: less than one block of the longest prompt. */
const TIE_BREAK = 0.005;

export const STRATEGIES: Record<StrategyName, StrategySpec> = {
  'round-robin': { filters: USUAL, scorers: [{ name: 'weight', weight: 1 }], picker: 'rotation' },
  'least-connections': {
    filters: USUAL,
    scorers: [{ name: 'least-in-flight', weight: 1 }],
    picker: 'best',
  },
  'dynamic-weighted': {
    filters: USUAL,
    scorers: [{ name: 'dynamic-weight', weight: 1 }],
    picker: 'rotation',
  },
  'power-of-two': {
    filters: USUAL,
    scorers: [{ name: 'least-in-flight', weight: 1 }],
    picker: 'two-choices',
  },
  'prefix-cache': {
    filters: [...USUAL, 'load-bound'],
    scorers: [
      { name: 'prefix-depth', weight: 1 },
      { name: 'least-work', weight: TIE_BREAK },
    ],
    picker: 'best',
  },
  session: {
    filters: USUAL,
    scorers: [
      { name: 'session', weight: 1 },
      { name: 'least-in-flight', weight: 1e-9 },
    ],
    picker: 'best',
  },
};

/** What does not hold of a strategy, one sentence each; empty: it can run. `available` is the data that the pool has. */
export function strategyProblems(spec: StrategySpec, available: ReadonlySet<DataNeed>): string[] {
  const problems: string[] = [];
  const missing = (kind: string, name: string, needs: readonly DataNeed[]) => {
    for (const need of needs) {
      if (!available.has(need))
        problems.push(`${kind} "${name}" needs ${DATA_NEEDS[need]}, which is missing`);
    }
  };
  const known = (kind: string, name: string, parts: Record<string, unknown>) => {
    if (Object.hasOwn(parts, name)) return true;
    problems.push(`unknown ${kind} "${name}"; known: ${Object.keys(parts).join(', ')}`);
    return false;
  };
  for (const name of spec.filters) {
    if (known('filter', name, FILTERS)) missing('filter', name, FILTERS[name]().needs);
  }
  for (const { name, weight } of spec.scorers) {
    if (known('scorer', name, SCORERS)) missing('scorer', name, SCORERS[name].needs);
    if (!(weight > 0 && Number.isFinite(weight))) {
      problems.push(`scorer "${name}" has weight ${weight}; a number above 0 is right`);
    }
  }
  known('picker', spec.picker, PICKERS);
  if (!spec.filters.includes('serving'))
    problems.push('filter "serving" is missing: no strategy goes without it');
  return problems;
}
