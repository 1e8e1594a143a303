/**
 * vLLM. Facts from the sources of 0.33.0: options `vllm/engine/arg_utils.py`, quantization
 * `vllm/model_executor/layers/quantization/__init__.py`, calls `vllm/entrypoints/serve/dev` and `.../rl/online`.
 */
import { EXTRA_ENDPOINTS } from '../../contract/fleet.ts';
import type { LaunchContext } from '../../contract/ports/engine-driver.ts';
import { vllmAdapters } from './adapter-calls.ts';
import { commandLine, option } from './command-line.ts';
import { call } from './engine-calls.ts';
import { createHttpEngine } from './http-engine.ts';
import { loadLogRules } from './log-rules.ts';
import { quantizeArgs } from './quantize.ts';
import { VLLM_METRIC_NAMES } from './vllm/metric-names.ts';
import { VLLM_QUANTIZE } from './vllm/quantize.ts';

/** Without it the server has none of these calls; with it, further ones that change the engine, so it is the user's choice. */
const absentHint = 'start vLLM with VLLM_SERVER_DEV_MODE=1 in `env`';

export const vllm = createHttpEngine({
  kind: 'vllm',
  capabilities: {
    tokenReplay: true,
    chatContinuation: true,
    tokenize: true,
    determinism: 'greedy',
    // Text held back for a stop string is cut by characters.
    wholeTokenEvents: false,
    lenientFields: true,
    // Which of them answer depends on the model.
    endpoints: EXTRA_ENDPOINTS,
  },
  defaultWindow: 256,
  // 200 as long as the engine core has not said that it is dead; a hung core does not say so.
  healthPath: '/health',
  metricNames: VLLM_METRIC_NAMES,
  logRules: () => loadLogRules('vllm'),
  adapters: vllmAdapters,
  launch: (context) =>
    commandLine(withAdapterCalls(context), [
      ...['vllm', 'serve', context.model],
      ...option('--host', context.host),
      ...option('--port', context.port),
      ...option('--served-model-name', context.modelName),
      ...option('--max-num-seqs', context.maxBatchSize),
      ...option('--max-model-len', context.maxSeqLength),
      ...option('--tensor-parallel-size', context.tensorParallelSize),
      ...quantizeArgs(VLLM_QUANTIZE, context.quantize),
      ...adapterOptions(context),
      ...(context.args ?? []),
    ]),
  // Refused while blocks are held, which running requests do.
  clearCache: (target, signal) => call(target, { path: '/reset_prefix_cache', absentHint }, signal),
  // New requests get 503 until /resume.
  drain: (target, signal) => call(target, { path: '/pause?mode=wait', absentHint }, signal),
  resume: (target, signal) => call(target, { path: '/resume', absentHint }, signal),
  abort: (target, what, signal) => {
    const body = { request_ids: what === 'all' ? [] : [what.requestId] };
    return call(target, { path: '/abort_requests', body, absentHint }, signal);
  },
});

/** As JSON, since names and paths may hold `=`. */
function adapterOptions({ adapters = [] }: LaunchContext): string[] {
  if (adapters.length === 0) return [];
  return ['--enable-lora', '--lora-modules', ...adapters.map((adapter) => JSON.stringify(adapter))];
}

/** Without it vLLM has no calls that load an adapter while it runs. */
function withAdapterCalls(context: LaunchContext): LaunchContext {
  if ((context.adapters ?? []).length === 0) return context;
  return { ...context, env: { VLLM_ALLOW_RUNTIME_LORA_UPDATING: 'True', ...context.env } };
}
