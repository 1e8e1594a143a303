/** Log lines in the wording of Ollama: `time=... level=INFO source=sched.go:728 msg="text"`. */
import type { DialectLog } from '../engine-log.ts';

const LEVELS = { INFO: 'INFO', WARNING: 'WARN', ERROR: 'ERROR' } as const;

export const ollamaLog: DialectLog = {
  line: (at, level, place, text) =>
    `time=${at.toISOString()} level=${LEVELS[level]} source=${place} msg=${JSON.stringify(text)}`,
  phases: {
    fetch: {
      begin: (model) => [['download.go:177', `downloading ${model}`]],
      end: (seconds) => ['download.go:295', `download finished in ${seconds} seconds`],
    },
    load: {
      begin: () => [['llama_server.go:1048', 'loading model via llama-server']],
      end: (seconds) => ['llama_server.go:1362', `llama-server started in ${seconds} seconds`],
    },
    compile: {
      begin: () => [['llama_server.go:1295', 'waiting for llama-server to start responding']],
      end: () => ['sched.go:728', 'loaded runners'],
    },
    capture: { begin: () => [], end: () => ['sched.go:728', 'loaded runners'] },
  },
  listening: (url) => ['routes.go:2008', `Listening on ${url.replace('http://', '')} (version 0.14.0)`],
  stopping: ['routes.go:2030', 'shutting down'],
};
