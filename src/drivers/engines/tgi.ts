/**
 * text-generation-inference. Facts from the sources of 3.3.x (January 2026): options `launcher/src/main.rs`, answers and health
 * `router/src/server.rs`, metrics `router/src/server.rs` and `backends/v3`. It has no call to drain, abort or clear a cache: a
 * request ends when its connection closes, the process drains on SIGTERM.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandLine, option } from './command-line.ts';
import { createHttpEngine } from './http-engine.ts';
import { loadLogRules } from './log-rules.ts';
import { quantizeArgs } from './quantize.ts';
import { TGI_QUANTIZE } from './tgi/quantize.ts';

/** The launcher starts shards that meet at this port; the default is the same for every launcher of a machine. */
const MASTER_PORT_DISTANCE = 10_000;

export const tgi = createHttpEngine({
  kind: 'tgi',
  capabilities: {
    tokenReplay: false,
    // It goes on inside a last message of the assistant without being asked, where it finds the message in what the template
    // made of it, and trims white space at its end.
    chatContinuation: true,
    trimsPrefill: true,
    tokenize: false,
    countTokens: 'events',
    determinism: 'greedy',
    // One event a token; stop strings are part of the text.
    wholeTokenEvents: false,
    // Its routes are generation and /tokenize, which takes `inputs` and returns a bare list.
    endpoints: [],
  },
  // `--max-concurrent-requests`: further ones are refused with 429 "Model is overloaded".
  defaultWindow: 128,
  // The port opens when the shards are ready. 503 {"error":"unhealthy"} when a shard does not answer.
  healthPath: '/health',
  metricNames: {
    running: ['tgi_batch_current_size'],
    waiting: ['tgi_queue_size'],
    kvCacheUsageRatio: [{ ratio: ['tgi_batch_current_max_tokens', 'tgi_batch_max_total_tokens'] }],
    progressCount: ['tgi_batch_inference_count'],
    // Counted when a request ends.
    generationTokensTotal: ['tgi_request_generated_tokens_sum'],
    promptTokensTotal: ['tgi_request_input_length_sum'],
    prefixCacheQueriesTotal: ['tgi_request_input_length_sum'],
    prefixCacheHitsTotal: ['tgi_request_skipped_tokens_sum'],
  },
  logRules: () => loadLogRules('tgi'),
  launch: (context) => {
    const { port, maxSeqLength, tensorParallelSize = 1 } = context;
    return commandLine(context, [
      ...['text-generation-launcher', '--model-id', context.model],
      ...option('--hostname', context.host),
      ...option('--port', port),
      ...option('--max-concurrent-requests', context.maxBatchSize),
      ...option('--max-batch-size', context.maxBatchSize),
      ...option('--max-total-tokens', maxSeqLength),
      // Its default is the model's own length, which may be more than the total and is then refused.
      ...option('--max-input-tokens', maxSeqLength === undefined ? undefined : maxSeqLength - 1),
      ...option('--num-shard', context.tensorParallelSize),
      // Defaults that two launchers of one machine would share.
      ...option('--shard-uds-path', join(tmpdir(), `autoglm-tgi-${port}`)),
      ...(tensorParallelSize > 1 ? option('--master-port', masterPort(port)) : []),
      ...quantizeArgs(TGI_QUANTIZE, context.quantize),
      ...(context.args ?? []),
    ]);
  },
});

function masterPort(port: number): number {
  return port > 32_767 ? port - MASTER_PORT_DISTANCE : port + MASTER_PORT_DISTANCE;
}
