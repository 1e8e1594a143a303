/** The picture of a plan for a terminal: time to first token over the load, with the objective and the planned rate as lines. */
import type { LoadPoint, Plan, PlanQuestion } from '../../contract/planning.ts';
import { count, milliseconds } from './report-figures.ts';

const ROWS = 11;
const COLUMNS_MAX = 72;
const LABEL = 9;

/** Bounds of a logarithmic axis that holds the points and the objective. */
export function timeAxis(loads: readonly LoadPoint[], objectiveMs: number): { low: number; high: number } {
  const times = [...loads.map(({ ttftMs }) => ttftMs).filter((ms) => ms > 0), objectiveMs];
  // A queue that grows would press all else into one line.
  const high = Math.min(Math.max(...times), 10 * objectiveMs) * 1.2;
  return { low: Math.min(...times) / 1.2, high };
}

export function plotLoads({ objective, traffic }: PlanQuestion, { loads }: Plan, width: number): string[] {
  const columns = Math.min(COLUMNS_MAX, width - LABEL - 2);
  const { low, high } = timeAxis(loads, objective.ttftMs);
  const rateMax = loads.at(-1)!.rate;
  const column = (rate: number) => Math.round((rate / rateMax) * (columns - 1));
  const row = (ms: number) => {
    const share = Math.log(Math.min(high, Math.max(low, ms)) / low) / Math.log(high / low);
    return Math.round((1 - share) * (ROWS - 1));
  };
  const grid = Array.from({ length: ROWS }, () => Array.from({ length: columns }, () => ' '));
  const line = row(objective.ttftMs);
  grid[line]!.fill('-');
  for (const cells of grid) cells[column(traffic.rate)] = '|';
  for (const { rate, ttftMs, holds } of loads) grid[row(ttftMs)]![column(rate)] = holds ? 'o' : 'x';
  const label = (index: number) => {
    if (index === line) return milliseconds(objective.ttftMs);
    if (index === 0) return milliseconds(high);
    return index === ROWS - 1 ? milliseconds(low) : '';
  };
  const planned = `${traffic.rate}`;
  const axis = ' '.repeat(LABEL + 1) + '0'.padEnd(Math.max(2, column(traffic.rate) - planned.length / 2));
  return [
    ...grid.map((cells, index) => `${label(index).padStart(LABEL)} ${cells.join('').trimEnd()}`),
    `${(axis + planned).padEnd(LABEL + columns - 4)} ${count(rateMax)} /s`,
    '-- objective   | planned rate   o holds   x does not',
  ];
}
