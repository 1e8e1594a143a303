/** From raw repetitions to the figures of a run. Pure. */
import type { Scenario } from './scenario.ts';
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
  /** CPU of the measured process per request, or per relayed chunk of streams; null for direct. */
  cpuUs: number | null;
  /** Unary: of the whole answer. Streams: to the first chunk. */
  latencyMs: { p50: number; p99: number };
  /** The most while it ran. */
  residentMb: number | null;
  /** What the load added to it, per 1000 streams; null where memory is not the subject. */
  addedMbPer1000: number | null;
}

export interface Figure {
  scenario: string;
  target: string;
  subject: Scenario['subject'];
  /** What `cpuUs` is per. */
  unit: 'request' | 'chunk';
  cpuUs: { least: number; median: number } | null;
  /**
   * CPU of this target through that of nginx: of the least of each, and the median of the ratios of each repetition. A change
   * of the program moves both; what else runs on the machine seldom does.
   */
  ratioToNginx: { least: number; median: number } | null;
  p50Ms: number;
  p99Ms: number;
  /** Against direct, in the same run. */
  addedP50Ms: number | null;
  addedP99Ms: number | null;
  perSecond: number;
  residentMb: number | null;
  addedMbPer1000: number | null;
  failed: number;
}

export function figures(
  repetitions: readonly Repetition[],
  scenarios: readonly Pick<Scenario, 'name' | 'subject' | 'stream'>[],
): Figure[] {
  return scenarios.flatMap((scenario) => {
    const ofScenario = repetitions.filter((rep) => rep.scenario === scenario.name);
    const targets = [...new Set(ofScenario.map(({ target }) => target))];
    const of = (target: string) => ofScenario.filter((rep) => rep.target === target);
    return targets.map((target) =>
      figureOf(scenario, of(target), {
        nginx: of('nginx'),
        direct: target === 'direct' ? [] : of('direct'),
      }),
    );
  });
}

/** The best repetition counts: what disturbs a shared machine only ever adds. */
function figureOf(
  { subject, stream }: Pick<Scenario, 'subject' | 'stream'>,
  repetitions: readonly Repetition[],
  beside: { nginx: readonly Repetition[]; direct: readonly Repetition[] },
): Figure {
  const [first] = repetitions;
  if (first === undefined) throw new RangeError('a figure of no repetitions');
  const cpu = present(repetitions.map(({ cpuUs }) => cpuUs));
  const p50 = least(repetitions.map(({ latencyMs }) => latencyMs.p50));
  const p99 = least(repetitions.map(({ latencyMs }) => latencyMs.p99));
  const direct = beside.direct.map(({ latencyMs }) => latencyMs);
  const added = (found: number, without: number[]) => (without.length === 0 ? null : found - least(without));
  const perSecond = repetitions.map(
    ({ requests, events, elapsedMs }) => ((stream ? events : requests) / elapsedMs) * 1000,
  );
  const resident = present(repetitions.map(({ residentMb }) => residentMb));
  const addedMb = present(repetitions.map(({ addedMbPer1000 }) => addedMbPer1000));
  return {
    scenario: first.scenario,
    target: first.target,
    subject,
    unit: stream ? 'chunk' : 'request',
    cpuUs: cpu.length === 0 ? null : { least: least(cpu), median: median(cpu) },
    ratioToNginx: ratioOf(repetitions, beside.nginx),
    p50Ms: p50,
    p99Ms: p99,
    addedP50Ms: added(
      p50,
      direct.map((latency) => latency.p50),
    ),
    addedP99Ms: added(
      p99,
      direct.map((latency) => latency.p99),
    ),
    perSecond: median(perSecond),
    residentMb: resident.length === 0 ? null : Math.max(...resident),
    addedMbPer1000: addedMb.length === 0 ? null : least(addedMb),
    failed: repetitions.reduce((sum, { failed }) => sum + failed, 0),
  };
}

function ratioOf(own: readonly Repetition[], nginx: readonly Repetition[]): Figure['ratioToNginx'] {
  const pairs = own.flatMap(({ repetition, cpuUs }) => {
    const other = nginx.find((rep) => rep.repetition === repetition)?.cpuUs ?? null;
    return cpuUs === null || other === null ? [] : [{ own: cpuUs, nginx: other }];
  });
  if (pairs.length === 0) return null;
  return {
    least: least(pairs.map((pair) => pair.own)) / least(pairs.map((pair) => pair.nginx)),
    median: median(pairs.map((pair) => pair.own / pair.nginx)),
  };
}

function least(values: readonly number[]): number {
  return Math.min(...values);
}

function present(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}
