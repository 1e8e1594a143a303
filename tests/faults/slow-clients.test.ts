/**
 * Goal: clients that are slow, on purpose or not, cost neither memory nor others their answers. Method: raw sockets that send
 * or read as slowly as slowhttptest does, beside clients that behave; a real gateway; engines are processes of their own, so that
 * the times that are taken here are not those of an engine in the same loop.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { percentile } from '../../bench/statistics.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await stopSimulators();
});

async function setUp(settings: Parameters<typeof startGateway>[1] = {}): Promise<RunningGateway> {
  const engine = await startSimulator(['--step-ms', '1', '--max-num-seqs', '2048']);
  const flood = await startFlood();
  const pools = [
    poolOf('m', [{ url: engine.url, servedModel: 'simulated-model', window: 4_096 }]),
    poolOf('flood', [{ url: flood, window: 4_096 }]),
  ];
  const gateway = await startGateway(pools, { queueSizeMax: 4_096, ...settings });
  cleanups.push(() => gateway.stop());
  return gateway;
}

const bodyOf = (more: object) =>
  JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...more });
const POST = 'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
const post = (more: object) => `${POST}Content-Length: ${bodyOf(more).length}\r\n\r\n${bodyOf(more)}`;

/** An engine whose streams never end and go as fast as they are taken; its address. */
async function startFlood(): Promise<string> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../support/flooding-engine.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  return String(await new Promise((told) => child.stdout.once('data', told))).trim();
}

function residentBytes({ process }: RunningGateway): number {
  const status = readFileSync(`/proc/${process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

interface SlowClient {
  kind: string;
  socket: Socket;
  closedAfterMs: number | null;
}

/** Sends `start`, and then `drip` each second, until it is cut off. */
function slowClient(
  { port }: RunningGateway,
  { kind, start, drip = '' }: { kind: string; start: string; drip?: string },
): SlowClient {
  const socket = connect(port, '127.0.0.1');
  const client: SlowClient = { kind, socket, closedAfterMs: null };
  const openedMs = performance.now();
  socket.on('error', () => {});
  socket.once('connect', () => {
    if (start !== '') socket.write(start);
  });
  const timer = drip === '' ? null : setInterval(() => socket.writable && socket.write(drip), 1_000);
  socket.resume();
  socket.once('close', () => {
    client.closedAfterMs = performance.now() - openedMs;
    if (timer !== null) clearInterval(timer);
  });
  cleanups.push(() => {
    if (timer !== null) clearInterval(timer);
    socket.destroy();
  });
  return client;
}

/** Well-behaved clients on connections of their own, in a closed loop. */
function startGood(gateway: RunningGateway, lanes: number) {
  const spansMs: number[] = [];
  const failures: string[] = [];
  let open = true;
  const running = Array.from({ length: lanes }, async () => {
    while (open) {
      const startMs = performance.now();
      const problem = await fetch(`${gateway.v1}/chat/completions`, {
        method: 'POST',
        body: bodyOf({ max_tokens: 4 }),
      }).then(
        async (answer) => {
          const text = await answer.text();
          return answer.status === 200 ? null : `${answer.status} ${text}`;
        },
        (error: unknown) => String(error),
      );
      if (problem === null) spansMs.push(performance.now() - startMs);
      else failures.push(problem);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  });
  return {
    failures,
    /** Of what has been answered since the last call. */
    takeP99: () => percentile(spansMs.splice(0), 99),
    answered: () => spansMs.length,
    stop: async () => {
      open = false;
      await Promise.all(running);
    },
  };
}

describe('1,000 connections of clients that send slowly on purpose', () => {
  it('are all closed within 15 s, and clients that behave get all of their answers, not later', async () => {
    const gateway = await setUp();
    const good = startGood(gateway, 8);
    await eventually(() => good.answered() > 50);
    good.takeP99();
    await eventually(() => good.answered() > 300, 30_000);
    const calmMs = good.takeP99();
    const clients = Array.from({ length: 1_000 }, (_, index) => {
      switch (index % 4) {
        case 0:
          return slowClient(gateway, { kind: 'headers', start: POST, drip: 'X-a: b\r\n' });
        case 1:
          return slowClient(gateway, { kind: 'silent', start: '' });
        case 2:
          return slowClient(gateway, {
            kind: 'body',
            start: `${POST}Content-Length: 4096\r\n\r\n{`,
            drip: '          ',
          });
        default:
          return slowClient(gateway, {
            kind: 'chunked body',
            start: `${POST}Transfer-Encoding: chunked\r\n\r\n`,
            drip: '1\r\n \r\n',
          });
      }
    });
    await eventually(() => clients.every(({ socket }) => !socket.connecting));
    good.takeP99();
    await eventually(() => clients.every(({ closedAfterMs }) => closedAfterMs !== null), 60_000);
    const attackedMs = good.takeP99();
    await good.stop();
    for (const kind of new Set(clients.map((client) => client.kind))) {
      const spans = clients
        .filter((client) => client.kind === kind)
        .map(({ closedAfterMs }) => closedAfterMs ?? 0);
      console.log(
        `slow ${kind}: ${spans.length} connections closed after ${(percentile(spans, 50) / 1000).toFixed(1)} s, the last after ${(percentile(spans, 100) / 1000).toFixed(1)} s`,
      );
    }
    console.log(`good clients: p99 ${calmMs.toFixed(0)} ms before, ${attackedMs.toFixed(0)} ms meanwhile`);
    expect(good.failures).toEqual([]);
    expect(Math.max(...clients.map(({ closedAfterMs }) => closedAfterMs ?? 0))).toBeLessThan(15_000);
    // All of it runs in this process and on two processors: some noise is our own.
    expect(attackedMs).toBeLessThan(2 * calmMs + 50);
  });
});

describe('50 readers that stop reading', () => {
  it('cost a bounded amount of memory, move nobody else, and are dropped when their time is over', async () => {
    const gateway = await setUp({ writeStallTimeoutMs: 15_000 });
    const good = startGood(gateway, 8);
    await eventually(() => good.answered() > 100);
    good.takeP99();
    await eventually(() => good.answered() > 300, 30_000);
    const calmMs = good.takeP99();
    const before = residentBytes(gateway);
    const sockets = Array.from({ length: 50 }, () => {
      const socket = connect(gateway.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.pause();
      socket.write(post({ model: 'flood', stream: true }));
      cleanups.push(() => socket.destroy());
      return socket;
    });
    const flooded = async () =>
      (await gateway.report()).replicaInFlight['flood/0'] === sockets.length && good.answered() > 300;
    await eventually(flooded, 14_000);
    const stuckMs = good.takeP99();
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, residentBytes(gateway));
    }, 100);
    const dropped = () =>
      gateway.log().filter(({ model, outcome }) => model === 'flood' && outcome === 'cancelled-by-client');
    await eventually(() => dropped().length === sockets.length, 60_000);
    await good.stop();
    clearInterval(watch);
    const grownMb = (most - before) / 1024 / 1024;
    console.log(
      `slow readers: ${grownMb.toFixed(0)} MB on top; good clients: p99 ${calmMs.toFixed(0)} ms before, ${stuckMs.toFixed(0)} ms meanwhile`,
    );
    expect(good.failures).toEqual([]);
    expect(grownMb).toBeLessThan(150);
    expect(stuckMs).toBeLessThan(1.5 * calmMs + 50);
    await eventually(async () => (await gateway.report()).replicaInFlight['flood/0'] === 0);
  });
});
