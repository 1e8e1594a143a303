/** What the gateway should cost at most, with its full set of features, and whether a run shows that. Pure. */
import type { Figure } from './report.ts';

interface Goal {
  scenario: string;
  text: string;
  unit: string;
  max: number;
  /** Null or undefined where the run does not say. */
  of(gateway: Figure, portkey: Figure | undefined): number | null | undefined;
}

const ratio = (scenario: string, text: string, max: number): Goal => ({
  scenario,
  text,
  unit: '× nginx',
  max,
  of: ({ ratioToNginx }) => ratioToNginx?.least,
});

export const GOALS: readonly Goal[] = [
  ratio('U2', 'CPU per unary request of 2 KB', 2.8),
  ratio('U20', 'CPU per unary request of 20 KB', 4),
  ratio('P200', 'CPU per chunk of 200 paced streams', 1.7),
  ratio('S', 'CPU per unpaced chunk', 2),
  {
    scenario: 'U2',
    text: 'CPU per unary request of 2 KB',
    unit: '× Portkey',
    max: 0.1,
    of: (gateway, portkey) =>
      gateway.cpuUs === null || !portkey?.cpuUs ? null : gateway.cpuUs.least / portkey.cpuUs.least,
  },
  {
    scenario: 'R500',
    text: 'added p50 at 500 requests per second',
    unit: 'ms',
    max: 0.35,
    of: ({ addedP50Ms }) => addedP50Ms,
  },
  {
    scenario: 'M1000',
    text: 'memory of 1000 streams',
    unit: 'MB',
    max: 90,
    of: ({ addedMbPer1000 }) => addedMbPer1000,
  },
];

/** One line for each goal that the run says something about. */
export function verdicts(list: readonly Figure[]): string[] {
  return GOALS.flatMap(({ scenario, text, unit, max, of }) => {
    const find = (target: string) =>
      list.find((figure) => figure.scenario === scenario && figure.target === target);
    const gateway = find('gateway');
    const found = gateway === undefined ? null : (of(gateway, find('portkey')) ?? null);
    if (found === null) return [];
    const word = found <= max ? 'met' : 'missed';
    return [`${word.padEnd(7)} ${text}: ${found.toFixed(2)} ${unit}, goal at most ${max}`];
  });
}

/** The goal for CPU through that of nginx; undefined where there is none. */
export function ratioGoal(scenario: string): number | undefined {
  return GOALS.find((goal) => goal.scenario === scenario && goal.unit === '× nginx')?.max;
}
