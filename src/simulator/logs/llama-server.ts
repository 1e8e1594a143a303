/** Log lines in the wording of llama-server, build 11434: `0.00.041.866 I srv  place: text`, with the time since the start. */
import type { DialectLog } from '../engine-log.ts';

const LETTERS = { INFO: 'I', WARNING: 'W', ERROR: 'E' } as const;

export const llamaServerLog: DialectLog = {
  line: (_at, level, place, text) => {
    const ms = Math.round(process.uptime() * 1000);
    const digits = (value: number, count: number) => String(value).padStart(count, '0');
    const since = `${Math.floor(ms / 60_000)}.${digits(Math.floor(ms / 1000) % 60, 2)}.${digits(ms % 1000, 3)}.000`;
    return `${since} ${LETTERS[level]} srv  ${place.padStart(12)}: ${text}`;
  },
  phases: {
    fetch: {
      begin: (model) => [['llama_server', `downloading '${model}'`]],
      end: (seconds) => ['llama_server', `download finished in ${seconds} s`],
    },
    load: {
      begin: (model) => [['load_model', `loading model '${model}'`]],
      end: () => ['load_model', "initializing, n_slots = 4, n_ctx_slot = 2048, kv_unified = 'false'"],
    },
    compile: {
      begin: () => [['load_model', 'warming up the model with an empty run - please wait ...']],
      end: () => ['load_model', 'chat template, thinking = 0'],
    },
    capture: { begin: () => [], end: () => ['llama_server', 'model loaded'] },
  },
  listening: (url) => ['llama_server', `listening on ${url}`],
  stopping: ['operator()', 'operator(): cleaning up before exit...'],
};
