/** From raw repetitions to the table and the figures of a bench run. Pure. */
import { median } from './statistics.ts';

/** One scenario on one target, once. */
export interface Repetition {
  scenario: string;
  target: string;
  repetition: number;
  requests: number;
  failed: number;
  errors: Record<string, number>;
  /** Stream events with content. */
  events: number;
  elapsedMs: number;
  /** CPU of the measured process per request; null for direct. */
  cpuUsPerRequest: number | null;
  /** The same per relayed chunk; null for unary scenarios. */
  cpuUsPerChunk: number | null;
  /** Unary: of the whole answer. Streams: to the first chunk. */
  latencyMs: { p50: number; p99: number };
  rssMb: number | null;
}

export interface Figure {
  scenario: string;
  target: string;
  /** What `cpuUs` is per. */
  unit: 'request' | 'chunk';
  cpuUs: { min: number; median: number } | null;
  /** Least CPU of this target through that of nginx, in the same run. */
  ratioToNginx: number | null;
  p50Ms: number;
  p99Ms: number;
  /** Against direct, in the same run. */
  addedP50Ms: number | null;
  addedP99Ms: number | null;
  perSecond: number;
  rssMb: number | null;
  failed: number;
}

export function figures(repetitions: readonly Repetition[]): Figure[] {
  const keys = [...new Set(repetitions.map(({ scenario, target }) => `${scenario}\n${target}`))];
  const plain = keys.map((key) => {
    const [scenario, target] = key.split('\n') as [string, string];
    return figureOf(repetitions.filter((rep) => rep.scenario === scenario && rep.target === target));
  });
  return plain.map((figure) => {
    const beside = (target: string) =>
      plain.find((other) => other.scenario === figure.scenario && other.target === target);
    const nginxUs = beside('nginx')?.cpuUs?.min;
    const direct = figure.target === 'direct' ? undefined : beside('direct');
    return {
      ...figure,
      ratioToNginx: figure.cpuUs === null || nginxUs === undefined ? null : figure.cpuUs.min / nginxUs,
      addedP50Ms: direct === undefined ? null : figure.p50Ms - direct.p50Ms,
      addedP99Ms: direct === undefined ? null : figure.p99Ms - direct.p99Ms,
    };
  });
}

/** CPU and latency by the best repetition: what disturbs a shared machine only ever adds. */
function figureOf(repetitions: readonly Repetition[]): Figure {
  const [first] = repetitions;
  if (first === undefined) throw new RangeError('a figure of no repetitions');
  const streams = repetitions.some(({ cpuUsPerChunk, events }) => cpuUsPerChunk !== null || events > 0);
  const cpu = repetitions.flatMap((rep) => (streams ? rep.cpuUsPerChunk : rep.cpuUsPerRequest) ?? []);
  const memory = repetitions.flatMap(({ rssMb }) => rssMb ?? []);
  return {
    scenario: first.scenario,
    target: first.target,
    unit: streams ? 'chunk' : 'request',
    cpuUs: cpu.length === 0 ? null : { min: Math.min(...cpu), median: median(cpu) },
    ratioToNginx: null,
    p50Ms: Math.min(...repetitions.map(({ latencyMs }) => latencyMs.p50)),
    p99Ms: Math.min(...repetitions.map(({ latencyMs }) => latencyMs.p99)),
    addedP50Ms: null,
    addedP99Ms: null,
    perSecond: median(
      repetitions.map(
        ({ requests, events, elapsedMs }) => ((streams ? events : requests) / elapsedMs) * 1000,
      ),
    ),
    rssMb: memory.length === 0 ? null : Math.max(...memory),
    failed: repetitions.reduce((sum, { failed }) => sum + failed, 0),
  };
}

const COLUMNS = [
  'scenario',
  'target',
  'CPU µs min',
  'median',
  'per',
  '× nginx',
  'p50 ms',
  '+p50',
  'p99 ms',
  '+p99',
  'per s',
  'RSS MB',
  'failed',
];

/** A plain text table. */
export function table(list: readonly Figure[]): string {
  const show = (value: number | null | undefined, digits: number) =>
    value === null || value === undefined ? '-' : value.toFixed(digits);
  const rows = list.map((figure) => [
    figure.scenario,
    figure.target,
    show(figure.cpuUs?.min, 1),
    show(figure.cpuUs?.median, 1),
    figure.unit,
    show(figure.ratioToNginx, 2),
    show(figure.p50Ms, 2),
    show(figure.addedP50Ms, 2),
    show(figure.p99Ms, 2),
    show(figure.addedP99Ms, 2),
    show(figure.perSecond, 0),
    show(figure.rssMb, 0),
    String(figure.failed),
  ]);
  const lines = [COLUMNS, ...rows];
  const widths = COLUMNS.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] as string).length)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
        .join('  '),
    )
    .join('\n');
}
