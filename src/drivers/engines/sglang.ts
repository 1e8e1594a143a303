/** SGLang. Its metrics are off unless asked for. */
import type { LaunchContext } from '../../contract/ports/engine-driver.ts';
import { sglangAdapters } from './adapter-calls.ts';
import { commandLine, option } from './command-line.ts';
import { createHttpEngine } from './http-engine.ts';

export const sglang = createHttpEngine({
  kind: 'sglang',
  capabilities: {
    // Takes token ids, but returns none by the OpenAI end points.
    tokenReplay: false,
    chatContinuation: true,
    tokenize: false,
    determinism: 'greedy',
    wholeTokenEvents: false,
    mayEchoPrefill: true,
  },
  defaultWindow: 256,
  healthPath: '/health',
  metricNames: {
    running: ['sglang:num_running_reqs'],
    waiting: ['sglang:num_queue_reqs'],
    kvCacheUsageRatio: ['sglang:token_usage'],
    progressCount: ['sglang:realtime_tokens_total', 'sglang:generation_tokens_total'],
    generationTokensTotal: ['sglang:generation_tokens_total'],
  },
  adapters: sglangAdapters,
  launch: (context) =>
    commandLine(context, [
      ...['python3', '-m', 'sglang.launch_server', '--enable-metrics'],
      ...option('--model-path', context.model),
      ...option('--host', context.host),
      ...option('--port', context.port),
      ...option('--served-model-name', context.modelName),
      ...option('--max-running-requests', context.maxBatchSize),
      ...option('--context-length', context.maxSeqLength),
      ...adapterOptions(context),
    ]),
});

/** As JSON, since names and paths may hold `=`. */
function adapterOptions({ adapters = [] }: LaunchContext): string[] {
  if (adapters.length === 0) return [];
  const entries = adapters.map(({ name, path }) => JSON.stringify({ lora_name: name, lora_path: path }));
  return ['--enable-lora', '--lora-paths', ...entries];
}
