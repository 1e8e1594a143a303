/**
 * llama-server of llama.cpp. It divides its context over its slots, so the context is asked for once per slot. Facts from the
 * sources of October 2026 (build 11434), `tools/server`, `common/arg.cpp`, and from runs of that build against the conformance
 * suite. There is no call to drain or abort: a request ends when its connection closes.
 */
import type { EngineTarget, ProbeResult } from '../../contract/ports/engine-driver.ts';
import { llamaServerAdapters } from './adapter-calls.ts';
import { commandLine, option } from './command-line.ts';
import { isModelAddress } from './embedded/model-address.ts';
import { checkModelFile } from './embedded/model-file.ts';
import { call } from './engine-calls.ts';
import { checkGgufQuantize, withGgufQuantize } from './gguf-quantize.ts';
import { createHttpEngine } from './http-engine.ts';
import { loadLogRules } from './log-rules.ts';
import { exchange, parseJson, statusText } from './probe-http.ts';

const SLOTS_MAX = 1024;

export const llamaServer = createHttpEngine({
  kind: 'llama-server',
  capabilities: {
    // Its OpenAI end points return no token ids.
    tokenReplay: false,
    chatContinuation: true,
    // It has /tokenize, but with fields of its own.
    tokenize: false,
    countTokens: 'tokenize-content',
    determinism: 'greedy',
    wholeTokenEvents: false,
    lenientFields: true,
    mayEchoPrefill: true,
    // It tokenizes too, but by fields of its own.
    endpoints: ['rerank'],
  },
  // Each slot holds a context of its own in memory.
  defaultWindow: 8,
  // 503 "Loading model" until the weights are there; so do all other paths.
  healthPath: '/health',
  metricNames: {
    running: ['llamacpp:requests_processing'],
    waiting: ['llamacpp:requests_deferred'],
    // Builds of 2025 and before.
    kvCacheUsageRatio: ['llamacpp:kv_cache_usage_ratio'],
    progressCount: [
      'llamacpp:n_decode_total',
      { sum: ['llamacpp:tokens_predicted_total', 'llamacpp:prompt_tokens_total'] },
    ],
    generationTokensTotal: ['llamacpp:tokens_predicted_total'],
    // Without those that were found in the cache.
    promptTokensTotal: ['llamacpp:prompt_tokens_total'],
    prefixCacheQueriesTotal: [
      { sum: ['llamacpp:prompt_tokens_total', 'llamacpp:prompt_tokens_cached_total'] },
    ],
    prefixCacheHitsTotal: ['llamacpp:prompt_tokens_cached_total'],
  },
  adapters: llamaServerAdapters,
  logRules: () => loadLogRules('llama-server'),
  launch: (context) => {
    const { maxBatchSize, maxSeqLength, quantize, adapters = [] } = context;
    const model = withGgufQuantize(context.model, quantize);
    if (!isModelAddress(model)) {
      checkModelFile(model);
      checkGgufQuantize(model, quantize);
    }
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
      ...(context.args ?? []),
    ]);
  },
  clearCache: eraseSlots,
});

/** Erases slot after slot; a slot that is busy finishes first, so the call may take as long as its request. */
async function eraseSlots(target: EngineTarget, signal: AbortSignal): Promise<ProbeResult> {
  const props = await exchange(target, { path: '/props' }, signal);
  if ('failure' in props) return { ok: false, detail: `/props: ${props.failure}` };
  const slots = (parseJson(props.body) as { total_slots?: unknown } | null | undefined)?.total_slots;
  if (props.status !== 200 || typeof slots !== 'number' || !(slots > 0 && slots <= SLOTS_MAX))
    return { ok: false, detail: `/props: ${statusText(props)}: no number of slots` };
  for (let slot = 0; slot < slots; slot++) {
    // 501 "This server does not support slots action. Start it with `--slot-save-path`"
    const erased = await call(target, { path: `/slots/${slot}?action=erase` }, signal);
    if (!erased.ok) return erased;
  }
  return { ok: true, detail: `${slots} slots erased` };
}
