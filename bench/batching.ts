/**
 * What batching does for embeddings of one text each: requests a second, latency, and processor time of gateway and engine, without
 * and with batching in turns, on one gateway thread. Prints a table; nothing is asserted.
 *
 * Options: --rounds N (default 3), --clients N (default 64), --seconds N (default 5), --only NAME
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import type { PoolBatching } from '../src/contract/fleet.ts';
import { EmbeddedUnderTest } from '../tests/support/embedded-under-test.ts';
import { poolOf, startGateway } from '../tests/support/gateway-under-test.ts';
import { startSimulator } from '../tests/support/simulator-under-test.ts';
import { cpuUs, processTree } from './cpu-time.ts';
import { median, percentile } from './statistics.ts';

interface Engine {
  url: string;
  model: string;
  /** Undefined: it runs in this process, and its processor time is not known. */
  pid: number | undefined;
  stop(): Promise<unknown>;
}

/** A device that works on one call after the other: what one costs, and what each of its inputs adds. */
const CALL_MS = 4;
const INPUT_MS = 0.1;

const ENGINES: Record<string, () => Promise<Engine>> = {
  simulator: async () => {
    const { url, pid, kill } = await startSimulator(['--model-name', 'm']);
    return { url, model: 'm', pid, stop: kill };
  },
  device: startDevice,
  embedded: async () => {
    const engine = await new EmbeddedUnderTest().ready();
    return { url: engine.url, model: 'inference-ops-demo', pid: engine.child.pid, stop: () => engine.stop() };
  },
};
const ABOUT: Record<string, string> = {
  simulator: 'the simulator: an engine whose vectors cost nothing but the call',
  device: `a device that takes ${CALL_MS} ms for a call and ${INPUT_MS} ms for each input, one call at a time`,
  embedded: 'the embedded engine with the demo model, which computes one text after the other',
};
const BATCHING: PoolBatching = { unitsMax: 64, waitMaxMs: 5, endpoints: ['embeddings'] };

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string' },
  },
});
const [rounds, clients, seconds] = [values.rounds, values.clients, values.seconds].map(Number) as [
  number,
  number,
  number,
];

interface Phase {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  gatewayUs: number;
  engineUs: number;
  failed: number;
}

for (const [name, start] of Object.entries(ENGINES)) {
  if (values.only !== undefined && values.only !== name) continue;
  const engine = await start();
  const pool = poolOf(engine.model, [{ url: engine.url, window: 1024 }]);
  const pools = { off: pool, on: { ...pool, batching: BATCHING } };
  console.log(`${name}: ${ABOUT[name]}; ${clients} clients in a closed loop, and one`);
  for (const many of [clients, 1]) {
    const phases: Record<'off' | 'on', Phase[]> = { off: [], on: [] };
    for (let round = 0; round < rounds; round++)
      for (const mode of ['off', 'on'] as const) phases[mode].push(await measure(engine, pools[mode], many));
    for (const mode of ['off', 'on'] as const) console.log(line(`${many} clients, ${mode}`, phases[mode]));
  }
  await engine.stop();
}

async function measure(engine: Engine, pool: ReturnType<typeof poolOf>, many: number): Promise<Phase> {
  const gateway = await startGateway([pool], { workers: 1 });
  const client = new Pool(gateway.url, { connections: many, pipelining: 1 });
  const pids = (pid: number | undefined) => (pid === undefined ? [] : processTree(pid));
  const gatewayPids = pids(gateway.process.pid);
  const enginePids = pids(engine.pid);
  let failed = 0;
  const run = async (spanMs: number): Promise<number[]> => {
    const endMs = performance.now() + spanMs;
    const tookMs: number[] = [];
    const loop = async (at: number) => {
      for (let turn = 0; performance.now() < endMs; turn++) {
        const beganMs = performance.now();
        const input = `The engine ${at} answers request ${turn} of its client, and says what it costs.`;
        const { statusCode, body } = await client.request({
          method: 'POST',
          path: '/v1/embeddings',
          body: JSON.stringify({ model: engine.model, input }),
        });
        await body.arrayBuffer();
        if (statusCode !== 200) failed++;
        tookMs.push(performance.now() - beganMs);
      }
    };
    await Promise.all(Array.from({ length: many }, (_, at) => loop(at)));
    return tookMs;
  };
  try {
    await run(1_500);
    const before = [cpuUs(gatewayPids), cpuUs(enginePids)] as const;
    const beganMs = performance.now();
    const tookMs = await run(seconds * 1_000);
    const spanS = (performance.now() - beganMs) / 1_000;
    return {
      perSecond: tookMs.length / spanS,
      p50Ms: percentile(tookMs, 50),
      p99Ms: percentile(tookMs, 99),
      gatewayUs: (cpuUs(gatewayPids) - before[0]) / tookMs.length,
      engineUs: (cpuUs(enginePids) - before[1]) / tookMs.length,
      failed,
    };
  } finally {
    await client.destroy();
    await gateway.stop();
  }
}

function line(name: string, phases: readonly Phase[]): string {
  const of = (pick: (phase: Phase) => number, digits = 0) => median(phases.map(pick)).toFixed(digits);
  const figures = [
    `${of(({ perSecond }) => perSecond)} requests/s`,
    `p50 ${of(({ p50Ms }) => p50Ms, 2)} ms`,
    `p99 ${of(({ p99Ms }) => p99Ms, 2)} ms`,
    `gateway ${of(({ gatewayUs }) => gatewayUs)} µs`,
    `engine ${of(({ engineUs }) => engineUs)} µs a request`,
    `${phases.reduce((sum, { failed }) => sum + failed, 0)} failed`,
  ];
  return `  ${name.padEnd(16)} ${figures.join(', ')}`;
}

async function startDevice(): Promise<Engine> {
  let free = Promise.resolve();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { input } = JSON.parse(Buffer.concat(chunks).toString()) as { input: string | string[] };
    const inputs = typeof input === 'string' ? [input] : input;
    const turn = free.then(
      () => new Promise<void>((done) => setTimeout(done, CALL_MS + inputs.length * INPUT_MS)),
    );
    free = turn;
    await turn;
    const embedding = Array.from({ length: 384 }, (_, place) => place / 1_000);
    const data = inputs.map((_, index) => ({ object: 'embedding', index, embedding }));
    const usage = { prompt_tokens: inputs.length * 16, total_tokens: inputs.length * 16 };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ object: 'list', data, model: 'm', usage }));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    model: 'm',
    pid: undefined,
    stop: async () => server.close(),
  };
}
