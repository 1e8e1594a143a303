/** What a starting and a working engine prints, in the wording of vLLM, so that rules over logs can be tried on it. */
import type { Clock } from '../base/clock.ts';
import type { EngineCoreMetrics } from '../contract/ports/engine-core.ts';
import type { StartPhase } from './faults/fault-script.ts';

export type LogLine = (level: 'INFO' | 'WARNING' | 'ERROR', place: string, text: string) => void;

/** `INFO 11-21 03:49:00 [core.py:58] text`, with the wall clock of the process. */
export function createLog(clock: Clock, write: (line: string) => void): LogLine {
  return (level, place, text) => {
    const at = new Date(clock.wallMs()).toISOString();
    write(`${level} ${at.slice(5, 10)} ${at.slice(11, 19)} [${place}] ${text}`);
  };
}

/** Lines at the beginning of a phase, and the one that closes it. */
export const PHASE_LINES: Record<
  StartPhase,
  {
    begin: (model: string) => [place: string, text: string][];
    end: (seconds: string) => [place: string, text: string];
  }
> = {
  fetch: {
    begin: (model) => [['weight_utils.py:296', `Using model weights format ['*.safetensors'] for ${model}`]],
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
};

/** The line that vLLM prints every ten seconds while it works. */
export function statsLine(before: EngineCoreMetrics, after: EngineCoreMetrics, spanMs: number): string {
  const rate = (from: number, to: number) => (((to - from) * 1000) / spanMs).toFixed(1);
  const hits =
    after.prefixCacheQueriesTotal === 0 ? 0 : after.prefixCacheHitsTotal / after.prefixCacheQueriesTotal;
  return (
    `Engine 000: Avg prompt throughput: ${rate(before.promptTokensTotal, after.promptTokensTotal)} tokens/s, ` +
    `Avg generation throughput: ${rate(before.generationTokensTotal, after.generationTokensTotal)} tokens/s, ` +
    `Running: ${after.running} reqs, Waiting: ${after.waiting} reqs, ` +
    `GPU KV cache usage: ${(after.kvCacheUsageRatio * 100).toFixed(1)}%, Prefix cache hit rate: ${(hits * 100).toFixed(1)}%`
  );
}
