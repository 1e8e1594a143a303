/** vLLM. Metric names and options as of its releases of 2025 and 2026. */

import type { LaunchContext } from '../../contract/ports/engine-driver.ts';
import { vllmAdapters } from './adapter-calls.ts';
import { commandLine, option } from './command-line.ts';
import { VLLM_METRIC_NAMES } from './engine-metrics.ts';
import { createHttpEngine } from './http-engine.ts';

export const vllm = createHttpEngine({
  kind: 'vllm',
  capabilities: {
    tokenReplay: true,
    chatContinuation: true,
    tokenize: true,
    determinism: 'greedy',
    // Text held back for a stop string is cut by characters.
    wholeTokenEvents: false,
  },
  defaultWindow: 256,
  healthPath: '/health',
  metricNames: VLLM_METRIC_NAMES,
  adapters: vllmAdapters,
  launch: (context) =>
    commandLine(withAdapterCalls(context), [
      ...['vllm', 'serve', context.model],
      ...option('--host', context.host),
      ...option('--port', context.port),
      ...option('--served-model-name', context.modelName),
      ...option('--max-num-seqs', context.maxBatchSize),
      ...option('--max-model-len', context.maxSeqLength),
      ...adapterOptions(context),
    ]),
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
