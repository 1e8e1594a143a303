/** llama-server of llama.cpp. It divides its context over its slots, so the context is asked for once per slot. */
import { llamaServerAdapters } from './adapter-calls.ts';
import { commandLine, option } from './command-line.ts';
import { isModelAddress } from './embedded/model-address.ts';
import { checkModelFile } from './embedded/model-file.ts';
import { createHttpEngine } from './http-engine.ts';

export const llamaServer = createHttpEngine({
  kind: 'llama-server',
  capabilities: {
    // Its OpenAI end points return no token ids.
    tokenReplay: false,
    chatContinuation: true,
    tokenize: false,
    determinism: 'greedy',
    wholeTokenEvents: false,
    mayEchoPrefill: true,
  },
  // Each slot holds a context of its own in memory.
  defaultWindow: 8,
  // 503 "Loading model" until the weights are there.
  healthPath: '/health',
  metricNames: {
    running: ['llamacpp:requests_processing'],
    waiting: ['llamacpp:requests_deferred'],
    kvCacheUsageRatio: ['llamacpp:kv_cache_usage_ratio'],
    progressCount: ['llamacpp:n_decode_total', 'llamacpp:tokens_predicted_total'],
    generationTokensTotal: ['llamacpp:tokens_predicted_total'],
  },
  adapters: llamaServerAdapters,
  launch: (context) => {
    const { model, maxBatchSize, maxSeqLength, adapters = [] } = context;
    if (!isModelAddress(model)) checkModelFile(model);
    for (const { path } of adapters) checkModelFile(path);
    return commandLine(context, [
      ...['llama-server', '--metrics'],
      ...(isModelAddress(model) ? option('-hf', model.replace(/^[a-z]+:/, '')) : option('-m', model)),
      ...option('--host', context.host),
      ...option('--port', context.port),
      ...option('--alias', context.modelName),
      ...option('--parallel', maxBatchSize),
      ...adapters.flatMap(({ path }) => option('--lora', path)),
      ...(adapters.length > 0 ? ['--lora-init-without-apply'] : []),
      ...option('--ctx-size', maxSeqLength === undefined ? undefined : maxSeqLength * maxBatchSize),
    ]);
  },
});
