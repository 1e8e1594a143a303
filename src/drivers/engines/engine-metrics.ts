/** Metrics of an engine in our words: the names are data, one table per engine, old and new names side by side. */
import type { EngineMetrics, EngineTarget } from '../../contract/ports/engine-driver.ts';
import { largestOf, type PrometheusSample, parsePrometheusText, sumOf } from '../../wire/prometheus/parse.ts';
import { exchange } from './probe-http.ts';

/** One metric by its name; several that add up, all of which must be there; or one as a share of another. */
export type MetricSource =
  | string
  | { readonly sum: readonly string[] }
  | { readonly ratio: readonly [part: string, whole: string] };

/** For each number where releases of the engine have published it; the first that is there counts. */
export type MetricNames = { readonly [Name in keyof EngineMetrics]: readonly MetricSource[] };

export async function readEngineMetrics(
  target: EngineTarget,
  names: MetricNames,
  signal: AbortSignal,
): Promise<EngineMetrics | undefined> {
  const response = await exchange(target, { path: '/metrics' }, signal);
  if ('failure' in response || response.status !== 200) return undefined;
  return metricsFrom(response.body, names);
}

export function metricsFrom(text: string, names: MetricNames): EngineMetrics {
  const samples = parsePrometheusText(text);
  const metrics: EngineMetrics = {};
  for (const name of Object.keys(names) as (keyof EngineMetrics)[]) {
    // A ratio is as bad as the worst of several engine cores; everything else adds up.
    const read = name === 'kvCacheUsageRatio' ? largestOf : sumOf;
    const value = (names[name] ?? [])
      .map((source) => readSource(samples, source, read))
      .find((found) => found !== undefined && Number.isFinite(found));
    if (value !== undefined) metrics[name] = value;
  }
  return metrics;
}

function readSource(
  samples: readonly PrometheusSample[],
  source: MetricSource,
  read: typeof sumOf,
): number | undefined {
  if (typeof source === 'string') return read(samples, [source]);
  if ('sum' in source) {
    const parts = source.sum.map((name) => sumOf(samples, [name]));
    return parts.reduce((sum, part) => (sum === undefined || part === undefined ? undefined : sum + part), 0);
  }
  const [part, whole] = source.ratio.map((name) => sumOf(samples, [name]));
  return part === undefined || whole === undefined || whole === 0 ? undefined : part / whole;
}
