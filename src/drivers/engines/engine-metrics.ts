/** Metrics of an engine in our words: the names are data, one table per engine, old and new names side by side. */
import type { EngineMetrics, EngineTarget } from '../../contract/ports/engine-driver.ts';
import { largestOf, parsePrometheusText, sumOf } from '../../wire/prometheus/parse.ts';
import { exchange } from './probe-http.ts';

/** For each number the names under which releases of the engine have published it; the first that occurs counts. */
export type MetricNames = { readonly [Name in keyof EngineMetrics]: readonly string[] };

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
    const value = read(samples, names[name] ?? []);
    if (value !== undefined && Number.isFinite(value)) metrics[name] = value;
  }
  return metrics;
}

export const VLLM_METRIC_NAMES: MetricNames = {
  running: ['vllm:num_requests_running'],
  waiting: ['vllm:num_requests_waiting'],
  kvCacheUsageRatio: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
  progressCount: ['vllm:iteration_tokens_total_count', 'vllm:generation_tokens_total'],
  generationTokensTotal: ['vllm:generation_tokens_total'],
};
