/** The core's counters with SGLang's names (srt/observability/metrics_collector.py, 0.5.23), as `--enable-metrics` shows them. */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { Exposition, escapeLabel } from '../prometheus/exposition.ts';

export function renderSglangMetrics(core: EngineCore): string {
  const metrics = core.metrics();
  const { prefixCacheHitsTotal, prefixCacheQueriesTotal } = metrics;
  const hitRate = prefixCacheQueriesTotal === 0 ? 0 : prefixCacheHitsTotal / prefixCacheQueriesTotal;
  return new Exposition(`engine_type="unified",model_name="${escapeLabel(core.info.model)}",tp_rank="0"`)
    .gauge('sglang:num_running_reqs', 'The number of running requests.', metrics.running)
    .gauge('sglang:num_queue_reqs', 'The number of requests in the waiting queue.', metrics.waiting)
    .gauge('sglang:token_usage', 'The token usage.', metrics.kvCacheUsageRatio)
    .gauge('sglang:cache_hit_rate', 'The prefix cache hit rate.', hitRate)
    .counter('sglang:prompt_tokens_total', 'Number of prefill tokens processed.', metrics.promptTokensTotal)
    .counter(
      'sglang:generation_tokens_total',
      'Number of generation tokens processed.',
      metrics.generationTokensTotal,
    )
    .counter('sglang:cached_tokens_total', 'Number of cached prompt tokens.', prefixCacheHitsTotal)
    .counters('sglang:realtime_tokens_total', 'Total number of tokens processed.', 'mode', {
      prefill_compute: metrics.promptTokensTotal,
      decode: metrics.generationTokensTotal,
    })
    .counter(
      'sglang:num_retracted_requests_total',
      'Total number of retracted requests.',
      metrics.preemptionsTotal,
    )
    .counter('sglang:num_aborted_requests_total', 'Aborted requests.', metrics.finishedTotal.abort)
    .histogram(
      'sglang:time_to_first_token_seconds',
      'Histogram of time to first token in seconds.',
      metrics.timeToFirstTokenSeconds,
    )
    .histogram(
      'sglang:inter_token_latency_seconds',
      'Histogram of inter-token latency in seconds.',
      metrics.interTokenLatencySeconds,
    )
    .histogram(
      'sglang:e2e_request_latency_seconds',
      'Histogram of End-to-end request latency in seconds',
      metrics.e2eRequestLatencySeconds,
    )
    .text();
}
