/** The figures of a run as plain text. Pure. */
import type { Figure } from './report.ts';

interface Column {
  title: string;
  cell(figure: Figure): string;
}

const COLUMNS: readonly Column[] = [
  { title: 'scenario', cell: ({ scenario }) => scenario },
  { title: 'target', cell: ({ target }) => target },
  { title: 'CPU µs', cell: ({ cpuUs }) => show(cpuUs?.least, 1) },
  { title: 'median', cell: ({ cpuUs }) => show(cpuUs?.median, 1) },
  { title: 'per', cell: ({ unit }) => unit },
  { title: '× nginx', cell: ({ ratioToNginx }) => show(ratioToNginx?.least, 2) },
  { title: 'median', cell: ({ ratioToNginx }) => show(ratioToNginx?.median, 2) },
  { title: 'p50 ms', cell: ({ p50Ms }) => show(p50Ms, 2) },
  { title: '+p50', cell: ({ addedP50Ms }) => show(addedP50Ms, 2) },
  { title: 'p99 ms', cell: ({ p99Ms }) => show(p99Ms, 2) },
  { title: '+p99', cell: ({ addedP99Ms }) => show(addedP99Ms, 2) },
  { title: 'per s', cell: ({ perSecond }) => show(perSecond, 0) },
  { title: 'RSS MB', cell: ({ residentMb }) => show(residentMb, 0) },
  { title: '+MB/1000', cell: ({ addedMbPer1000 }) => show(addedMbPer1000, 1) },
  { title: 'failed', cell: ({ failed }) => String(failed) },
];

/** Names stand left, figures right. */
const LEFT_COLUMNS = 2;

export function table(list: readonly Figure[]): string {
  const lines = [
    COLUMNS.map(({ title }) => title),
    ...list.map((figure) => COLUMNS.map(({ cell }) => cell(figure))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const padded = (cell: string, column: number) =>
    column < LEFT_COLUMNS ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((line) => line.map(padded).join('  ')).join('\n');
}

function show(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined ? '-' : value.toFixed(digits);
}
