/** Log lines in the wording of SGLang: `[2026-11-21 10:00:00 TP0] text`; it names no place. */
import type { DialectLog } from '../engine-log.ts';

export const sglangLog: DialectLog = {
  line: (at, level, _place, text) => {
    const stamp = `[${at.toISOString().slice(0, 19).replace('T', ' ')}]`;
    return level === 'INFO' ? `${stamp} ${text}` : `${stamp} ${level}: ${text}`;
  },
  phases: {
    fetch: {
      begin: (model) => [['', `Using model weights format ['*.safetensors'] for ${model}`]],
      end: (seconds) => ['', `Time spent downloading weights: ${seconds} seconds`],
    },
    load: {
      begin: () => [['', 'Load weight begin. avail mem=78.50 GB']],
      end: () => ['', 'Load weight end. type=SimulatedForCausalLM, avail mem=63.10 GB, mem usage=15.40 GB.'],
    },
    compile: {
      begin: () => [['', 'Memory pool end. avail mem=9.10 GB']],
      end: (seconds) => ['', `Compile done. elapsed=${seconds} s`],
    },
    capture: {
      begin: () => [['', 'Capture cuda graph begin. This can take up to several minutes. avail mem=9.10 GB']],
      end: (seconds) => ['', `Capture cuda graph end. Time elapsed: ${seconds} s. avail mem=7.90 GB`],
    },
  },
  listening: () => ['', 'The server is fired up and ready to roll!'],
  stopping: ['', 'Gracefully exiting... Remaining number of requests 0'],
  stats: (before, after, spanMs) => {
    const tokens = after.generationTokensTotal - before.generationTokensTotal;
    const text =
      `Decode batch, #running-req: ${after.running}, #token: ${after.generationTokensTotal}, ` +
      `token usage: ${after.kvCacheUsageRatio.toFixed(2)}, cuda graph: True, ` +
      `gen throughput (token/s): ${((tokens * 1000) / spanMs).toFixed(2)}, #queue-req: ${after.waiting},`;
    return ['', text];
  },
};
