/** Log lines in the wording of Triton: `I1121 10:00:00.000000 1 server.cc:312] "text"`. */
import type { DialectLog } from '../engine-log.ts';

export const tritonLog: DialectLog = {
  line: (at, level, place, text) => {
    const iso = at.toISOString();
    const day = `${iso.slice(5, 7)}${iso.slice(8, 10)}`;
    return `${level[0]}${day} ${iso.slice(11, 23)}000 1 ${place}] ${JSON.stringify(text)}`;
  },
  phases: {
    fetch: {
      begin: (model) => [['model_repository_manager.cc:1766', `Model repository registered: ${model}`]],
      end: () => [
        'pinned_memory_manager.cc:277',
        "Pinned memory pool is created at '0x7f0000000000' with size 268435456",
      ],
    },
    load: {
      begin: (model) => [['model_lifecycle.cc:473', `loading: ${model}:1`]],
      end: () => ['python_be.cc:2249', 'TRITONBACKEND_ModelInstanceInitialize: model_0_0 (CPU device 0)'],
    },
    compile: {
      begin: () => [['backends.py:548', 'Using cache directory for torch.compile']],
      end: (seconds) => ['monitor.py:34', `torch.compile takes ${seconds} s in total`],
    },
    capture: {
      begin: () => [['gpu_model_runner.py:3118', 'Capturing CUDA graphs']],
      end: () => ['model_lifecycle.cc:849', "successfully loaded 'model'"],
    },
  },
  listening: (url) => ['http_server.cc:4971', `Started HTTPService at ${url.replace(/^https?:\/\//, '')}`],
  stopping: ['server.cc:312', 'Waiting for in-flight requests to complete.'],
};
