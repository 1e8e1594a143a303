/** The core's counters with the names of text-generation-inference (router/src/server.rs, backends/v3, 3.3). */
import type { EngineCore } from '../../contract/ports/engine-core.ts';
import { Exposition } from '../prometheus/exposition.ts';

/** Tokens of the pretend batch budget, of which the KV use is a share. */
const BATCH_TOKENS_MAX = 1_000_000;

export function renderTgiMetrics(core: EngineCore): string {
  const metrics = core.metrics();
  const { finishedTotal, e2eRequestLatencySeconds: requests } = metrics;
  return new Exposition()
    .gauge('tgi_batch_current_size', 'Current batch size', metrics.running)
    .gauge('tgi_queue_size', 'Current queue size', metrics.waiting)
    .gauge(
      'tgi_batch_current_max_tokens',
      'Maximum tokens for the current batch',
      Math.round(metrics.kvCacheUsageRatio * BATCH_TOKENS_MAX),
    )
    .gauge('tgi_batch_max_total_tokens', 'Maximum tokens for any batch', BATCH_TOKENS_MAX)
    .counters('tgi_batch_inference_count', 'Inference calls per method', 'method', {
      prefill: finishedTotal.stop + finishedTotal.length,
      decode: metrics.stepsTotal,
    })
    .counter(
      'tgi_request_success',
      'Number of successful requests',
      finishedTotal.stop + finishedTotal.length,
    )
    .histogram('tgi_request_duration', 'Request duration', requests)
    .histogram('tgi_request_generated_tokens', 'Generated tokens per request', {
      ...requests,
      sum: metrics.generationTokensTotal,
    })
    .histogram('tgi_request_input_length', 'Input token length per request', {
      ...requests,
      sum: metrics.prefixCacheQueriesTotal,
    })
    .histogram('tgi_request_skipped_tokens', 'Speculated or cached tokens per request', {
      ...requests,
      sum: metrics.prefixCacheHitsTotal,
    })
    .text();
}
