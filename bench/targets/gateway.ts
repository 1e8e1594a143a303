/**
 * Our gateway with everything on that a request passes in production: keys, counters, the log, the state database. One worker
 * thread, as nginx has one worker process; the main and the storage thread count as well.
 */
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { GatewaySnapshot } from '../../src/contract/gateway-snapshot.ts';
import { BENCH_MODEL } from '../scenario.ts';
import { portOf, start, TARGET_CPU } from './processes.ts';
import type { TargetKind } from './target.ts';

const ENTRY = resolve(import.meta.dirname, '../../src/assembly/gateway-process.ts');
const KEY = 'sk-bench';

/** @param nodeArgs arguments of Node, such as `--cpu-prof`. */
export function gateway(nodeArgs: readonly string[]): TargetKind {
  return {
    name: 'gateway',
    start: async ({ folder, enginePorts }) => {
      const snapshotFile = join(folder, 'snapshot.json');
      writeFileSync(snapshotFile, JSON.stringify(snapshot(enginePorts)));
      const paths = ['--snapshot', snapshotFile, '--log', join(folder, 'gateway.log'), '--state', folder];
      const child = start(process.execPath, [...nodeArgs, ENTRY, '--id', 'bench', ...paths], {
        cpu: TARGET_CPU,
      });
      const port = await portOf(child, 'gateway');
      return {
        name: 'gateway',
        origin: `http://127.0.0.1:${port}`,
        headers: { authorization: `Bearer ${KEY}` },
        child,
      };
    },
  };
}

/** Never reached; keeping count of them is part of what is measured. */
const BENCH_LIMITS = { requestsPerMinute: 1e7, tokensPerMinute: 1e10, parallelRequests: 100_000 };

function snapshot(enginePorts: readonly number[]): GatewaySnapshot {
  return {
    version: { epoch: 1, seq: 1 },
    settings: {
      host: '127.0.0.1', port: 0, workers: 1, bodyBytesMax: 8_388_608, queueSizeMax: 1024,
      keys: [{ name: 'bench', sha256: hash('sha256', KEY), limits: BENCH_LIMITS }],
      queueTimeoutMs: 30_000, retryAttemptsMax: 2, retryBudgetRatio: 0.2, continuationsMax: 3, ejectionMs: 1000, breakerFailures: 5, slowStartMs: 10_000, queueAdaptive: true,
      keepAliveMs: 10_000, connectTimeoutMs: 5000, firstTokenTimeoutMs: 300_000, stallTimeoutMs: 60_000,
      totalTimeoutMs: 3_600_000, writeStallTimeoutMs: 60_000, replayBytesMax: 4_194_304, responsesTtlMs: 3_600_000,
      idempotencyTtlMs: 3_600_000, cache: null, redis: null, storeLimits: { responsesBytesMax: 67_108_864, idempotencyBytesMax: 67_108_864 },
      files: { fileBytesMax: 5_000_000, totalBytesMax: 20_000_000, batchTtlMs: 2_592_000_000 },
      batches: { windowMs: 86_400_000, linesMax: 50_000, openMax: 100, inFlightMax: 64, lineTimeoutMs: 60_000, fillerShare: 0.5 },
      fillerKeySha256: null, drainTimeoutMs: 1000,
    }, // biome-ignore format: a table
    fleet: { pools: [{ model: BENCH_MODEL, aliases: [], replicas: enginePorts.map(replica) }] },
  };
}

function replica(port: number, index: number): GatewaySnapshot['fleet']['pools'][number]['replicas'][number] {
  return {
    id: `${BENCH_MODEL}/${index}`,
    generation: 1,
    url: `http://127.0.0.1:${port}`,
    engine: 'vllm',
    servedModel: BENCH_MODEL,
    state: 'ready',
    reason: '',
    window: 8192,
    capabilities: {
      tokenReplay: true,
      chatContinuation: true,
      tokenize: true,
      determinism: 'seeded',
      wholeTokenEvents: true,
    },
  };
}
