/** The core's counters with llama-server's names (tools/server/server-task.cpp, build 11434), without labels, as `--metrics` shows them. */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { Exposition } from '../prometheus/exposition.ts';

export function renderLlamaServerMetrics(core: EngineCore): string {
  const metrics = core.metrics();
  const { prefixCacheHitsTotal: cached, prefixCacheQueriesTotal: queried } = metrics;
  return new Exposition()
    .counter(
      'llamacpp:prompt_tokens_total',
      'Number of prompt tokens processed, excluding cached tokens',
      Math.max(0, queried - cached),
    )
    .counter('llamacpp:prompt_tokens_cached_total', 'Number of prompt tokens reused from the cache', cached)
    .counter(
      'llamacpp:tokens_predicted_total',
      'Number of generation tokens processed',
      metrics.generationTokensTotal,
    )
    .counter('llamacpp:n_decode_total', 'Total number of llama_decode() calls', metrics.stepsTotal)
    .gauge('llamacpp:requests_processing', 'Number of requests processing', metrics.running)
    .gauge('llamacpp:requests_deferred', 'Number of requests deferred', metrics.waiting)
    .text();
}
