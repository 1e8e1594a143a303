/**
 * What batching does for embeddings of one text each: requests a second, latency, and processor time of gateway and engine, without
 * and with batching. Both are models of one gateway with one worker thread, on one engine, and take turns of a second each (a lone
 * client: request by request), so that whatever else the machine does meets both. Prints a table; nothing is asserted.
 *
 * Options: --rounds N (default 10), --clients N (default 64), --only NAME
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
    rounds: { type: 'string', default: '10' },
    clients: { type: 'string', default: '64' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const clients = Number(values.clients);
const TURN_MS = 1_000;
const WARM_UP_MS = 3_000;
const MODES = ['off', 'on'] as const;

interface Turn {
  perSecond: number;
  /** Of each request. */
  tookMs: number[];
  gatewayUs: number;
  engineUs: number;
}

for (const [name, start] of Object.entries(ENGINES)) {
  if (values.only !== undefined && values.only !== name) continue;
  const engine = await start();
  console.log(`${name}: ${ABOUT[name]}`);
  await measure(engine);
  await engine.stop();
}

async function measure(engine: Engine): Promise<void> {
  const poolAs = (model: string) =>
    poolOf(model, [{ url: engine.url, window: 1024, servedModel: engine.model }]);
  const gateway = await startGateway([poolAs('off'), { ...poolAs('on'), batching: BATCHING }], {
    workers: 1,
  });
  const client = new Pool(gateway.url, { connections: clients, pipelining: 1 });
  const pids = (pid: number | undefined) => (pid === undefined ? [] : processTree(pid));
  const [gatewayPids, enginePids] = [pids(gateway.process.pid), pids(engine.pid)];
  let count = 0;
  const ask = async (model: (typeof MODES)[number]): Promise<number> => {
    const input = `The engine answers request ${count++} of a client, and says what it costs.`;
    const beganMs = performance.now();
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: '/v1/embeddings',
      body: JSON.stringify({ model, input }),
    });
    await body.arrayBuffer();
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    return performance.now() - beganMs;
  };
  const turn = async (model: (typeof MODES)[number], spanMs: number): Promise<Turn> => {
    const before = [cpuUs(gatewayPids), cpuUs(enginePids)] as const;
    const beganMs = performance.now();
    const tookMs: number[] = [];
    const loop = async () => {
      while (performance.now() < beganMs + spanMs) tookMs.push(await ask(model));
    };
    await Promise.all(Array.from({ length: clients }, loop));
    const requests = tookMs.length;
    return {
      perSecond: requests / ((performance.now() - beganMs) / 1_000),
      tookMs,
      gatewayUs: (cpuUs(gatewayPids) - before[0]) / requests,
      engineUs: (cpuUs(enginePids) - before[1]) / requests,
    };
  };
  try {
    for (const mode of MODES) await turn(mode, WARM_UP_MS);
    const turns: Record<(typeof MODES)[number], Turn[]> = { off: [], on: [] };
    for (let round = 0; round < rounds; round++)
      for (const mode of MODES) turns[mode].push(await turn(mode, TURN_MS));
    for (const mode of MODES) console.log(line(`${clients} clients, ${mode}`, turns[mode]));
    const lone: Record<(typeof MODES)[number], number[]> = { off: [], on: [] };
    const endMs = performance.now() + rounds * TURN_MS;
    while (performance.now() < endMs) for (const mode of MODES) lone[mode].push(await ask(mode));
    for (const mode of MODES) console.log(`  ${`1 client, ${mode}`.padEnd(16)} ${latency(lone[mode])}`);
  } finally {
    await client.destroy();
    await gateway.stop();
  }
}

function line(name: string, turns: readonly Turn[]): string {
  const of = (pick: (turn: Turn) => number) => median(turns.map(pick)).toFixed(0);
  const figures = [
    `${of(({ perSecond }) => perSecond)} requests/s`,
    latency(turns.flatMap(({ tookMs }) => tookMs)),
    `gateway ${of(({ gatewayUs }) => gatewayUs)} µs`,
    `engine ${of(({ engineUs }) => engineUs)} µs a request`,
  ];
  return `  ${name.padEnd(16)} ${figures.join(', ')}`;
}

function latency(tookMs: readonly number[]): string {
  return `p50 ${percentile(tookMs, 50).toFixed(2)} ms, p99 ${percentile(tookMs, 99).toFixed(2)} ms`;
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
