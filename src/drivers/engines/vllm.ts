/** vLLM. Metric names and options as of its releases of 2025 and 2026. */
import { EXTRA_ENDPOINTS } from '../../contract/fleet.ts';
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
    lenientFields: true,
    // Which of them answer depends on the model.
    endpoints: EXTRA_ENDPOINTS,
  },
  defaultWindow: 256,
  healthPath: '/health',
  metricNames: VLLM_METRIC_NAMES,
  launch: (context) =>
    commandLine(context, [
      ...['vllm', 'serve', context.model],
      ...option('--host', context.host),
      ...option('--port', context.port),
      ...option('--served-model-name', context.modelName),
      ...option('--max-num-seqs', context.maxBatchSize),
      ...option('--max-model-len', context.maxSeqLength),
    ]),
});
