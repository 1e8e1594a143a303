/**
 * Triton's metrics in our words. Its own names count requests; TensorRT-LLM and, when it reports them, vLLM add what happens
 * inside: slots, cache and steps. They stand on a port of their own.
 */
import type { EngineMetrics, EngineTarget } from '../../contract/ports/engine-driver.ts';
import { type PrometheusSample, parsePrometheusText } from '../../wire/prometheus/parse.ts';
import { exchange } from './probe-http.ts';

/** A metric, and the label that picks one of its samples. */
type Source = readonly [name: string, label?: readonly [name: string, value: string]];

const REQUESTS = 'nv_trt_llm_request_metrics';
const CACHE = 'nv_trt_llm_kv_cache_block_metrics';

/** The first source that occurs counts. */
const SOURCES: Readonly<Partial<Record<keyof EngineMetrics, readonly Source[]>>> = {
  running: [[REQUESTS, ['request_type', 'scheduled']], ['vllm:num_requests_running']],
  waiting: [
    [REQUESTS, ['request_type', 'waiting']],
    ['vllm:num_requests_waiting'],
    ['nv_inference_pending_request_count'],
  ],
  kvCacheUsageRatio: [[CACHE, ['kv_cache_block_type', 'fraction']], ['vllm:kv_cache_usage_perc']],
  // Executions of a decoupled model are whole answers: where the backend counts tokens, those say more.
  progressCount: [['vllm:generation_tokens_total'], ['nv_inference_exec_count']],
  generationTokensTotal: [['vllm:generation_tokens_total']],
  promptTokensTotal: [['vllm:prompt_tokens_total']],
  timeToFirstTokenSecondsSum: [['vllm:time_to_first_token_seconds_sum']],
  timeToFirstTokenCount: [['vllm:time_to_first_token_seconds_count']],
};

/** Triton's usual ports: 8000 for HTTP, 8001 for gRPC, 8002 for metrics. */
const USUAL_PORTS = ['8000', '8001'];
const USUAL_METRICS_PORT = 8002;

export async function readTritonMetrics(
  target: EngineTarget,
  signal: AbortSignal,
): Promise<EngineMetrics | undefined> {
  const url = new URL(metricsUrlOf(target));
  const response = await exchange(
    { ...target, url: url.origin },
    { path: `${url.pathname}${url.search}` },
    signal,
  );
  if ('failure' in response || response.status !== 200) return undefined;
  return tritonMetricsFrom(response.body);
}

/** The OpenAI front end has them on its own port; else see `USUAL_PORTS`, and on other ports the next one is theirs. */
export function metricsUrlOf({ url, protocol, metricsUrl }: EngineTarget): string {
  const origin = new URL(url);
  if (metricsUrl !== undefined) return metricsUrl.replaceAll('{host}', origin.hostname);
  if (protocol === 'openai') return `${origin.origin}/metrics`;
  const port = origin.port || (origin.protocol === 'https:' ? '443' : '80');
  origin.port = String(USUAL_PORTS.includes(port) ? USUAL_METRICS_PORT : Number(port) + 1);
  return `http://${origin.host}/metrics`;
}

export function tritonMetricsFrom(text: string): EngineMetrics {
  const samples = parsePrometheusText(text);
  const metrics: EngineMetrics = {};
  for (const [name, sources] of Object.entries(SOURCES)) {
    const values = firstOf(samples, sources);
    if (values.length === 0) continue;
    // A ratio is as bad as the worst of several models; everything else adds up.
    const value =
      name === 'kvCacheUsageRatio' ? Math.max(...values) : values.reduce((sum, one) => sum + one, 0);
    if (Number.isFinite(value)) metrics[name as keyof EngineMetrics] = value;
  }
  const ratio = metrics.kvCacheUsageRatio ?? usedOfMax(samples);
  if (ratio !== undefined) metrics.kvCacheUsageRatio = ratio;
  return metrics;
}

/** Releases before 2025 do not say the fraction. */
function usedOfMax(samples: readonly PrometheusSample[]): number | undefined {
  const [used] = firstOf(samples, [[CACHE, ['kv_cache_block_type', 'used']]]);
  const [max] = firstOf(samples, [[CACHE, ['kv_cache_block_type', 'max']]]);
  return used === undefined || max === undefined || max <= 0 ? undefined : used / max;
}

function firstOf(samples: readonly PrometheusSample[], sources: readonly Source[]): number[] {
  for (const [name, label] of sources) {
    const found = samples.filter(
      (sample) => sample.name === name && (label === undefined || sample.labels[label[0]] === label[1]),
    );
    if (found.length > 0) return found.map(({ value }) => value);
  }
  return [];
}
