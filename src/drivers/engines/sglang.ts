/**
 * SGLang. Its metrics are off unless asked for. Facts from the sources of 0.5.23: options `srt/server_args.py` and
 * `srt/arg_groups/choices.py`, calls and health `srt/entrypoints/http_server.py`, metrics `srt/observability/metrics_collector.py`.
 *
 * There is no `drain`: /pause_generation stops the batch itself ("abort", "retract" or "in_place"), it does not let it finish.
 */
import type { LaunchContext } from '../../contract/ports/engine-driver.ts';
import { sglangAdapters } from './adapter-calls.ts';
import { commandLine, option } from './command-line.ts';
import { call } from './engine-calls.ts';
import { createHttpEngine } from './http-engine.ts';
import { loadLogRules } from './log-rules.ts';
import { quantizeArgs } from './quantize.ts';
import { SGLANG_QUANTIZE } from './sglang/quantize.ts';

export const sglang = createHttpEngine({
  kind: 'sglang',
  capabilities: {
    // Completions return token ids when asked (not so streamed chat, which refuses to), and take them as a prompt.
    tokenReplay: true,
    chatContinuation: true,
    // `messages` and `add_generation_prompt` too: `srt/entrypoints/openai/serving_tokenize.py`.
    tokenize: true,
    determinism: 'greedy',
    wholeTokenEvents: false,
    lenientFields: true,
    mayEchoPrefill: true,
    endpoints: ['rerank', 'score', 'tokenize', 'detokenize', 'classify'],
    // /classify is the score of a reward model there.
    paths: { classify: '/v1/classify' },
  },
  defaultWindow: 256,
  // 503 while starting and when stopping. /health_generate waits up to 20 s for a token, so that a busy engine looks dead
  // (sgl-project/sglang#22511); the rung of one token is bounded and asks the same.
  healthPath: '/health',
  metricNames: {
    running: ['sglang:num_running_reqs'],
    waiting: ['sglang:num_queue_reqs'],
    kvCacheUsageRatio: ['sglang:token_usage'],
    progressCount: ['sglang:realtime_tokens_total', 'sglang:generation_tokens_total'],
    generationTokensTotal: ['sglang:generation_tokens_total'],
    promptTokensTotal: ['sglang:prompt_tokens_total'],
    preemptionsTotal: ['sglang:num_retracted_requests_total'],
    prefixCacheQueriesTotal: ['sglang:prompt_tokens_total'],
    prefixCacheHitsTotal: ['sglang:cached_tokens_total'],
    timeToFirstTokenSecondsSum: ['sglang:time_to_first_token_seconds_sum'],
    timeToFirstTokenCount: ['sglang:time_to_first_token_seconds_count'],
  },
  logRules: () => loadLogRules('sglang'),
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
      ...option('--tp-size', context.tensorParallelSize),
      ...quantizeArgs(SGLANG_QUANTIZE, context.quantize),
      ...adapterOptions(context),
      ...(context.args ?? []),
    ]),
  // Refused with 400 while requests run or wait.
  clearCache: (target, signal) => call(target, { path: '/flush_cache' }, signal),
  abort: (target, what, signal) => {
    const body = what === 'all' ? { rid: '', abort_all: true } : { rid: what.requestId, abort_all: false };
    return call(target, { path: '/abort_request', body }, signal);
  },
});

/** As JSON, since names and paths may hold `=`. */
function adapterOptions({ adapters = [] }: LaunchContext): string[] {
  if (adapters.length === 0) return [];
  const entries = adapters.map(({ name, path }) => JSON.stringify({ lora_name: name, lora_path: path }));
  return ['--enable-lora', '--lora-paths', ...entries];
}
