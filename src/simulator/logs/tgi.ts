/** Log lines in the wording of text-generation-inference: `2026-11-21T10:00:00.000000Z  INFO place: text`. */
import type { DialectLog } from '../engine-log.ts';

const LAUNCHER = 'text_generation_launcher';
const SHARDS = 'shard-manager: text_generation_launcher';

export const tgiLog: DialectLog = {
  line: (at, level, place, text) => {
    const shown = level === 'WARNING' ? ' WARN' : level.padStart(5);
    return `${at.toISOString().replace('Z', '000Z')} ${shown} ${place}: ${text}`;
  },
  phases: {
    fetch: {
      begin: (model) => [[LAUNCHER, `Starting check and download process for ${model}`]],
      end: () => [LAUNCHER, 'Successfully downloaded weights.'],
    },
    load: {
      begin: () => [
        [SHARDS, 'Starting shard rank=0'],
        [SHARDS, 'Waiting for shard to be ready... rank=0'],
      ],
      end: (seconds) => [SHARDS, `Shard ready in ${seconds}s rank=0`],
    },
    compile: {
      begin: () => [[LAUNCHER, 'Starting Webserver']],
      end: () => [`text_generation_router_v3: backends/v3/src/lib.rs:125`, 'Warming up model'],
    },
    capture: {
      begin: () => [[LAUNCHER, 'Cuda Graphs are enabled for sizes [32, 16, 8, 4, 2, 1]']],
      end: () => [
        'text_generation_router_v3: backends/v3/src/lib.rs:137',
        'Setting max batch total tokens to 1000000',
      ],
    },
  },
  listening: () => ['text_generation_router::server: router/src/server.rs:2302', 'Connected'],
  stopping: [
    'text_generation_router::server: router/src/server.rs:2390',
    'signal received, starting graceful shutdown',
  ],
};
