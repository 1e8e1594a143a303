/** Log lines in the wording of vLLM: `INFO 11-21 03:49:00 [core.py:58] text`. */
import type { DialectLog } from '../engine-log.ts';

export const vllmLog: DialectLog = {
  line: (at, level, place, text) => {
    const iso = at.toISOString();
    return `${level} ${iso.slice(5, 10)} ${iso.slice(11, 19)} [${place}] ${text}`;
  },
  phases: {
    fetch: {
      begin: (model) => [
        ['weight_utils.py:296', `Using model weights format ['*.safetensors'] for ${model}`],
      ],
      end: (seconds) => ['weight_utils.py:312', `Time spent downloading weights: ${seconds} seconds`],
    },
    load: {
      begin: (model) => [
        ['gpu_model_runner.py:2338', `Starting to load model ${model}...`],
        ['default_loader.py:262', 'Loading safetensors checkpoint shards: 50% Completed | 1/2'],
      ],
      end: (seconds) => ['gpu_model_runner.py:2392', `Model loading took 14.9889 GiB and ${seconds} seconds`],
    },
    compile: {
      begin: () => [['backends.py:548', 'Using cache directory for torch.compile']],
      end: (seconds) => ['monitor.py:34', `torch.compile takes ${seconds} s in total`],
    },
    capture: {
      begin: () => [
        ['gpu_model_runner.py:3118', 'Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%'],
      ],
      end: (seconds) => [
        'gpu_model_runner.py:3140',
        `Graph capturing finished in ${seconds} secs, took 0.55 GiB`,
      ],
    },
  },
  listening: (url) => ['api_server.py:1992', `Starting vLLM API server 0 on ${url}`],
  stopping: ['launcher.py:102', 'Shutting down FastAPI HTTP server.'],
  stats: (before, after, spanMs) => {
    const rate = (from: number, to: number) => (((to - from) * 1000) / spanMs).toFixed(1);
    const hits =
      after.prefixCacheQueriesTotal === 0 ? 0 : after.prefixCacheHitsTotal / after.prefixCacheQueriesTotal;
    const text =
      `Engine 000: Avg prompt throughput: ${rate(before.promptTokensTotal, after.promptTokensTotal)} tokens/s, ` +
      `Avg generation throughput: ${rate(before.generationTokensTotal, after.generationTokensTotal)} tokens/s, ` +
      `Running: ${after.running} reqs, Waiting: ${after.waiting} reqs, ` +
      `GPU KV cache usage: ${(after.kvCacheUsageRatio * 100).toFixed(1)}%, Prefix cache hit rate: ${(hits * 100).toFixed(1)}%`;
    return ['loggers.py:123', text];
  },
};
