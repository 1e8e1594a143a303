/** `nv_*` metrics: Triton's own, TensorRT-LLM's, and those that the vLLM backend adds when it is told to. */
import type { TritonServer } from './triton-server.ts';

export function renderTritonMetrics({ core, counts, backend }: TritonServer): string {
  const metrics = core.metrics();
  const model = `model="${core.info.model.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}",version="1"`;
  const lines: string[] = [];
  const family = (
    name: string,
    type: string,
    samples: readonly (readonly [labels: string, value: number])[],
  ) => {
    lines.push(`# HELP ${name} ${name.replaceAll('_', ' ')}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples)
      lines.push(`${name}{${labels === '' ? model : `${labels},${model}`}} ${value}`);
  };
  const failures = counts.backendFailures;
  family('nv_inference_request_success', 'counter', [['', counts.success]]);
  family('nv_inference_request_failure', 'counter', [
    ['reason="REJECTED"', 0],
    ['reason="CANCELED"', counts.canceled],
    ['reason="BACKEND"', failures],
    ['reason="OTHER"', 0],
  ]);
  family('nv_inference_count', 'counter', [['', counts.executions]]);
  family('nv_inference_exec_count', 'counter', [['', counts.executions]]);
  family('nv_inference_request_duration_us', 'counter', [['', counts.durationUs]]);
  family('nv_inference_queue_duration_us', 'counter', [['', 0]]);
  family('nv_inference_pending_request_count', 'gauge', [['', metrics.waiting]]);
  if (backend === 'tensorrtllm') {
    family('nv_trt_llm_request_metrics', 'gauge', [
      ['request_type="active"', metrics.running + metrics.waiting],
      ['request_type="scheduled"', metrics.running],
      ['request_type="waiting"', metrics.waiting],
    ]);
    family('nv_trt_llm_kv_cache_block_metrics', 'gauge', [
      ['kv_cache_block_type="fraction"', metrics.kvCacheUsageRatio],
    ]);
  }
  if (backend === 'vllm') {
    family('vllm:prompt_tokens_total', 'counter', [['', metrics.promptTokensTotal]]);
    family('vllm:generation_tokens_total', 'counter', [['', metrics.generationTokensTotal]]);
  }
  return `${lines.join('\n')}\n`;
}
