/**
 * Goal: a gateway thread or process that dies, or is replaced, costs its own requests at most. Method: the node's side
 * (GatewayHost) with real gateway processes, between keep-alive clients and a scripted engine.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import OpenAI from 'openai';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fact } from '../../src/contract/facts.ts';
import { createProcessHost } from '../../src/drivers/process/local-process-host.ts';
import {
  createGatewayHost,
  type GatewayHost,
  type GatewayHostOptions,
} from '../../src/planes/control/gateway-host.ts';
import { freePort, hostOptions as optionsOf } from '../support/gateway-host-under-test.ts';
import { eventually, poolOf } from '../support/gateway-under-test.ts';
import { machinePace } from '../support/machine-pace.ts';
import { ANSWER_TEXT, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';
import { isAlive, killQuietly } from '../support/system-under-test.ts';

const _ROOT = resolve(import.meta.dirname, '../..');
let directory: string;
let engine: ScriptedEngine;
let host: GatewayHost;
let facts: Fact[];
const pids = new Set<number>();

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'autoglm-host-'));
  engine = await startScriptedEngine();
  facts = [];
});

afterEach(async () => {
  for (const { pid } of host.status()) pids.add(pid);
  await host.close({ stop: false });
  for (const pid of pids) killQuietly(pid);
  await eventually(() => [...pids].every((pid) => !isAlive(pid)));
  pids.clear();
  await engine.close();
  rmSync(directory, { recursive: true, force: true });
});

/** The node's side; `port` 0 takes a free one. */
function newHost(port: number, epoch = Date.now()): GatewayHost {
  return createGatewayHost(hostOptions(port, epoch));
}

function hostOptions(port: number, epoch: number): GatewayHostOptions {
  return optionsOf({ directory, port, epoch, onFacts: (found) => void facts.push(...found) });
}

async function start(): Promise<string> {
  host = newHost(await freePort());
  await host.start({ pools: [poolOf('demo', [{ url: engine.url }])] });
  const address = host.address;
  return `http://127.0.0.1:${address?.port}`;
}

function currentPid(): number {
  return host.status().find(({ state }) => state === 'listening')?.pid ?? 0;
}

interface Traffic {
  stop(): Promise<{ unary: number; streams: number; failures: string[] }>;
}

/** Keep-alive unary clients and streaming clients, each one request after the other, without any retry. */
function startTraffic(url: string, unaryClients: number, streamClients: number): Traffic {
  const agent = new Agent({ connections: null, pipelining: 1 });
  const counts = { unary: 0, streams: 0 };
  const failures: string[] = [];
  let running = true;
  const send = async (stream: boolean) => {
    const body = JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: 'Hi' }], stream });
    const answer = await request(`${url}/v1/chat/completions`, { method: 'POST', body, dispatcher: agent });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}: ${text.slice(0, 200)}`);
    if (stream && !text.endsWith('data: [DONE]\n\n'))
      throw new Error(`a stream without an end: ${text.slice(-200)}`);
    if (!stream && !text.includes(JSON.stringify(ANSWER_TEXT).slice(1, -1)))
      throw new Error(`not the answer: ${text.slice(0, 200)}`);
  };
  const client = async (stream: boolean) => {
    while (running) {
      try {
        await send(stream);
        counts[stream ? 'streams' : 'unary']++;
      } catch (error) {
        failures.push(`${stream ? 'stream' : 'unary'}: ${String(error)}`);
      }
    }
  };
  const clients = [
    ...Array.from({ length: unaryClients }, () => client(false)),
    ...Array.from({ length: streamClients }, () => client(true)),
  ];
  return {
    stop: async () => {
      running = false;
      await Promise.all(clients);
      await agent.destroy();
      return { ...counts, failures };
    },
  };
}

describe('a worker thread that dies', () => {
  it('is replaced, refuses no connection, and costs at most what was in flight on it', async () => {
    const url = await start();
    engine.base = { paceMs: 5 };
    const traffic = startTraffic(url, 16, 8);
    await eventually(() => engine.seen.length > 50, 10_000);
    const faultAtMs = performance.now();
    host.injectFault(0);
    await eventually(() => facts.some(({ type }) => type === 'workerReplaced'));
    await waitFor(
      async () => (await host.collect())[0]?.workers.every(({ state }) => state === 'listening') === true,
      20_000,
    );
    console.log(`a worker is back ${(performance.now() - faultAtMs).toFixed(0)} ms after it died`);
    await eventually(() => host.status().length === 1);
    const seen = engine.seen.length;
    await eventually(() => engine.seen.length > seen + 100, 10_000);
    const { failures } = await traffic.stop();
    expect(failures.filter((failure) => failure.includes('ECONNREFUSED'))).toEqual([]);
    expect(failures.length).toBeLessThanOrEqual(24);
    await waitFor(
      async () => (await host.collect())[0]?.workers.every(({ state }) => state === 'listening') === true,
    );
    const [report] = await host.collect();
    expect(report).toMatchObject({ inFlight: 0, queued: 0, replicaInFlight: { 'demo/0': 0 } });
    expect(report?.workers.map(({ state }) => state)).toEqual(['listening', 'listening']);
    expect(report?.metricsText).toContain('autoglm_worker_restarts_total{gateway=');
  });
});

describe('a gateway process that is killed', () => {
  it('accepts again within a second, and clients with the default retries of the SDK see no error', async () => {
    const url = await start();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' });
    const errors: unknown[] = [];
    let running = true;
    let answers = 0;
    const clients = Array.from({ length: 8 }, async () => {
      while (running) {
        await client.chat.completions
          .create({ model: 'demo', messages: [{ role: 'user', content: 'Hi' }] })
          .then(
            () => answers++,
            (error) => errors.push(error),
          );
      }
    });
    await eventually(() => answers > 50);
    const killed = currentPid();
    pids.add(killed);
    killQuietly(killed);
    const killedAtMs = performance.now();
    for (;;) {
      const status = await fetch(`${url}/livez`).then(
        (answer) => answer.status,
        () => 0,
      );
      if (status === 200) break;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const backMs = performance.now() - killedAtMs;
    expect(backMs).toBeLessThan(1_000 * machinePace());
    const before = answers;
    await eventually(() => answers > before + 50, 10_000);
    running = false;
    await Promise.all(clients);
    expect(errors).toEqual([]);
    expect(currentPid()).not.toBe(killed);
  });
});

describe('the compile cache', () => {
  it('is kept for the threads too, and soon, so that a killed gateway leaves it to its successor', async () => {
    host = createGatewayHost({
      ...hostOptions(await freePort(), Date.now()),
      processHost: createProcessHost({ environment: { ...process.env, TMPDIR: directory } }),
    });
    await host.start({ pools: [poolOf('demo', [{ url: engine.url }])] });
    // The gateway plane alone is more than that; the main thread loads some twenty files.
    const cache = join(directory, 'node-compile-cache');
    await eventually(() => existsSync(cache) && readdirSync(cache, { recursive: true }).length > 100, 10_000);
  });
});

describe('a gateway that is replaced', () => {
  it('loses no request of 64 keep-alive clients and 32 streams', async () => {
    const url = await start();
    engine.base = { paceMs: 3 };
    const traffic = startTraffic(url, 64, 32);
    await eventually(() => engine.seen.length > 100, 10_000);
    const old = currentPid();
    pids.add(old);
    await host.replace();
    expect(currentPid()).not.toBe(old);
    await eventually(() => !isAlive(old), 30_000);
    const seen = engine.seen.length;
    await eventually(() => engine.seen.length > seen + 100, 10_000);
    const { failures, unary, streams } = await traffic.stop();
    expect(failures).toEqual([]);
    expect(unary).toBeGreaterThan(100);
    expect(streams).toBeGreaterThan(30);
  });
});

describe('gateways in trouble', () => {
  it('come back with patience when a stranger took the port in between', async () => {
    const url = await start();
    const port = Number(new URL(url).port);
    pids.add(currentPid());
    killQuietly(currentPid());
    const stranger = await takePort(port);
    await eventually(() => host.status().length === 0, 10_000);
    await new Promise((resolve) => stranger.close(resolve));
    await waitFor(
      async () =>
        (await fetch(`${url}/livez`).then(
          ({ status }) => status,
          () => 0,
        )) === 200,
      15_000,
    );
    expect(host.status()).toHaveLength(1);
  });

  it('come back also when the state directory was deleted under them', async () => {
    const url = await start();
    const killed = currentPid();
    pids.add(killed);
    rmSync(directory, { recursive: true });
    killQuietly(killed);
    await eventually(
      () => host.status().some(({ state, pid }) => state === 'listening' && pid !== killed),
      8_000,
    );
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    // It is under the control of the node process again, not just on its own.
    expect(await host.collect()).toHaveLength(1);
  });

  it('are replaced once when two ask at the same time, and the old one goes', async () => {
    await start();
    const old = currentPid();
    pids.add(old);
    await Promise.all([host.replace(), host.replace()]);
    await eventually(() => host.status().length === 1, 20_000);
    expect(currentPid()).not.toBe(old);
    expect(isAlive(old)).toBe(false);
  });
});

describe('a gateway that drains', () => {
  it('hears from the next node process that an engine is not ready, and is not counted as one that serves', async () => {
    const spare = await startScriptedEngine();
    try {
      const url = await start();
      engine.base = { stallAfter: 3 };
      const stream = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: 'Hi' }], stream: true }),
      });
      const old = currentPid();
      pids.add(old);
      await host.replace();
      await host.close({ stop: false });
      // The next node process, which could not be told by a record.
      hostOptions(0, 0).store.removeRecord(host.status().find(({ pid }) => pid === old)?.id as string);
      host = newHost(Number(new URL(url).port), Date.now() + 1);
      const replicas = [{ url: engine.url }, { url: spare.url }];
      await host.start({ pools: [poolOf('demo', replicas)] });
      await eventually(() => host.status().some(({ pid, state }) => pid === old && state === 'draining'));
      expect(currentPid()).not.toBe(old);
      host.publishFleet({
        pools: [poolOf('demo', [{ url: engine.url, state: 'unready' }, { url: spare.url }])],
      });
      const text = await stream.text();
      expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
      expect(spare.seen.length).toBeGreaterThan(0);
      await eventually(() => !isAlive(old), 20_000);
    } finally {
      await spare.close();
    }
  });
});

describe('a node process that goes away', () => {
  it('is not missed: the gateway serves on, and the next one adopts it with its new view of the fleet', async () => {
    const url = await start();
    const { pid } = host.status()[0] as { pid: number };
    await host.close({ stop: false });
    const answer = await fetch(`${url}/v1/models`);
    expect(answer.status).toBe(200);
    const successor = newHost(Number(new URL(url).port), Date.now() + 1);
    host = successor;
    await successor.start({
      pools: [poolOf('demo', [{ url: engine.url }]), poolOf('second', [{ url: engine.url }])],
    });
    expect(currentPid()).toBe(pid);
    await waitFor(
      async () => ((await (await fetch(`${url}/v1/models`)).json()) as { data: unknown[] }).data.length === 2,
    );
  });

  it('leaves two gateways when it dies while it replaces one; the next one keeps one, and no request is lost', async () => {
    const url = await start();
    const old = currentPid();
    // As far as a replacement comes before the old one is told to drain.
    await host.close({ stop: false });
    const second = await spawnBeside();
    pids.add(old).add(second);
    const traffic = startTraffic(url, 8, 4);
    host = newHost(Number(new URL(url).port), Date.now() + 1);
    await host.start({ pools: [poolOf('demo', [{ url: engine.url }])] });
    await eventually(() => host.status().length === 1, 20_000);
    const seen = engine.seen.length;
    await eventually(() => engine.seen.length > seen + 50, 10_000);
    expect((await traffic.stop()).failures).toEqual([]);
    expect([old, second].filter(isAlive)).toEqual([currentPid()]);
  });

  it('ends everything in order when it is told to', async () => {
    await start();
    const pid = currentPid();
    await host.close({ stop: true });
    expect(isAlive(pid)).toBe(false);
  });
});

describe('a port that a stranger holds', () => {
  it('is reported by name, and not shared', async () => {
    host = newHost(engine.port);
    await expect(host.start({ pools: [poolOf('demo', [{ url: engine.url }])] })).rejects.toMatchObject({
      code: 'port_in_use',
    });
  });
});

/** A second gateway on the port of the first, with a record, which nobody has told of the other. */
async function spawnBeside(): Promise<number> {
  const { processHost, store, entry, logFile, cwd, ownerPrefix } = hostOptions(0, 0);
  const id = 'gw-second';
  const identity = await processHost.spawn({
    command: entry.command,
    args: [...entry.args, '--id', id, '--snapshot', store.snapshotFile, '--beside'],
    env: {},
    cwd,
    logFile,
    owner: `${ownerPrefix}${id}`,
  });
  store.writeRecord({ id, identity, draining: false });
  await eventually(() => readFileSync(logFile, 'utf8').includes(`"id":"${id}"`), 10_000);
  return identity.pid;
}

/** Listens on the port as soon as its former owner is gone; a gateway needs longer than that to start. */
async function takePort(port: number): Promise<Server> {
  const endMs = performance.now() + 2_000;
  while (performance.now() < endMs) {
    const server = createServer();
    const taken = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (taken) return server;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw new Error(`port ${port} was not free`);
}

async function waitFor(holds: () => Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not true within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
