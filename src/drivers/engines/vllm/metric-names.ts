/**
 * Metric names of vLLM; the embedded engine and the simulator have the same. Source: vllm/v1/metrics/loggers.py of 0.33.0, and
 * the names of older releases that dashboards still know.
 */
import type { MetricNames } from '../engine-metrics.ts';

export const VLLM_METRIC_NAMES: MetricNames = {
  running: ['vllm:num_requests_running'],
  waiting: ['vllm:num_requests_waiting'],
  kvCacheUsageRatio: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'],
  // One observation for each step of the engine.
  progressCount: ['vllm:iteration_tokens_total_count', 'vllm:generation_tokens_total'],
  generationTokensTotal: ['vllm:generation_tokens_total'],
  promptTokensTotal: ['vllm:prompt_tokens_total'],
  preemptionsTotal: ['vllm:num_preemptions_total'],
  prefixCacheQueriesTotal: ['vllm:prefix_cache_queries_total', 'vllm:gpu_prefix_cache_queries_total'],
  prefixCacheHitsTotal: ['vllm:prefix_cache_hits_total', 'vllm:gpu_prefix_cache_hits_total'],
  timeToFirstTokenSecondsSum: ['vllm:time_to_first_token_seconds_sum'],
  timeToFirstTokenCount: ['vllm:time_to_first_token_seconds_count'],
};
