/**
 * The core's counters as Prometheus text with vLLM's names, so that dashboards and scrapers made for vLLM work. Two names are
 * our own: `engine_steps_total`, and `vllm:iteration_tokens_total_count`, both the progress counter that hang detection reads.
 */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { Exposition, escapeLabel } from '../prometheus/exposition.ts';

/** @param stoppedByString requests that the front end ended at a stop string; the core counts them as aborted. */
export function renderMetrics(core: EngineCore, stoppedByString: number): string {
  const metrics = core.metrics();
  const finished = {
    ...metrics.finishedTotal,
    stop: metrics.finishedTotal.stop + stoppedByString,
    abort: Math.max(0, metrics.finishedTotal.abort - stoppedByString),
  };
  return new Exposition(`model_name="${escapeLabel(core.info.model)}"`)
    .gauge('vllm:num_requests_running', 'Requests that hold a slot.', metrics.running)
    .gauge('vllm:num_requests_waiting', 'Requests that wait for a slot.', metrics.waiting)
    .gauge('vllm:kv_cache_usage_perc', 'Used share of the KV cache, 1 is full.', metrics.kvCacheUsageRatio)
    .counter(
      'vllm:prefix_cache_queries_total',
      'Prompt tokens looked up in the prefix cache.',
      metrics.prefixCacheQueriesTotal,
    )
    .counter('vllm:prefix_cache_hits_total', 'Prompt tokens found there.', metrics.prefixCacheHitsTotal)
    .counter('vllm:prompt_tokens_total', 'Prompt tokens processed.', metrics.promptTokensTotal)
    .counter('vllm:generation_tokens_total', 'Tokens generated.', metrics.generationTokensTotal)
    .counter(
      'vllm:num_preemptions_total',
      'Requests that lost their slot and began anew.',
      metrics.preemptionsTotal,
    )
    .counter('engine_steps_total', 'Decode steps; stands still when the engine hangs.', metrics.stepsTotal)
    .counter(
      'vllm:iteration_tokens_total_count',
      'Decode steps, by the name that vLLM has.',
      metrics.stepsTotal,
    )
    .counters('vllm:request_success_total', 'Requests ended, by reason.', 'finished_reason', finished)
    .histogram(
      'vllm:time_to_first_token_seconds',
      'From arrival to the first token.',
      metrics.timeToFirstTokenSeconds,
    )
    .histogram(
      'vllm:inter_token_latency_seconds',
      'Between two tokens of a request.',
      metrics.interTokenLatencySeconds,
    )
    .histogram(
      'vllm:e2e_request_latency_seconds',
      'From arrival to the end.',
      metrics.e2eRequestLatencySeconds,
    )
    .text();
}
