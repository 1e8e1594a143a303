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
  const flood = await startEndless('5');
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

/** Its address. */
async function startEndless(...args: string[]): Promise<string> {
  const entry = join(import.meta.dirname, '../support/endless-engine.mjs');
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanups.push(() => child.kill('SIGKILL'));
  return String(await new Promise((told) => child.stdout.once('data', told))).trim();
}

function residentBytes({ process }: RunningGateway): number {
  const status = readFileSync(`/proc/${process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

const range = (values: number[]) => Math.max(...values) - Math.min(...values);

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
    // The plan says twice as long at most; half a second more is for what else this machine does at the moment.
    expect(attackedMs).toBeLessThan(2 * calmMs + 500);
  });
});

describe('50 readers that stop reading', () => {
  it('cost a bounded amount of memory, move nobody else, and are dropped when their time is over', async () => {
    const gateway = await setUp({ writeStallTimeoutMs: 10_000 });
    const good = startGood(gateway, 8);
    await eventually(() => good.answered() > 100);
    good.takeP99();
    await eventually(() => good.answered() > 300, 30_000);
    const calmMs = good.takeP99();
    const before = residentBytes(gateway);
    const sockets: Socket[] = [];
    while (sockets.length < 50) {
      const socket = connect(gateway.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.pause();
      socket.write(post({ model: 'flood', stream: true }));
      cleanups.push(() => socket.destroy());
      sockets.push(socket);
      // One after the other, so that what counts is what they hold and not the moment at which all are filled at once.
      await new Promise((wake) => setTimeout(wake, 50));
    }
    const resident: number[] = [];
    const watch = setInterval(() => resident.push(residentBytes(gateway)), 100);
    cleanups.push(() => clearInterval(watch));
    // Everything between engine and readers is full when the memory has not moved for two seconds.
    const isFull = () => resident.length > 20 && range(resident.slice(-20)) < 1024 * 1024;
    await eventually(isFull, 30_000);
    good.takeP99();
    await eventually(() => good.answered() > 300, 30_000);
    const stuckMs = good.takeP99();
    const dropped = () =>
      gateway.log().filter(({ stream, outcome }) => stream === true && outcome === 'cancelled-by-client');
    await eventually(() => dropped().length === sockets.length, 60_000);
    await good.stop();
    clearInterval(watch);
    const grownMb = (Math.max(...resident) - before) / 1024 / 1024;
    console.log(
      `slow readers: ${grownMb.toFixed(0)} MB on top; good clients: p99 ${calmMs.toFixed(0)} ms before, ${stuckMs.toFixed(0)} ms meanwhile`,
    );
    expect(good.failures).toEqual([]);
    // 150 MB on a quiet machine (the streams, and what V8 takes to fill them); without backpressure it is a gigabyte.
    expect(grownMb).toBeLessThan(300);
    expect(stuckMs).toBeLessThan(2 * calmMs + 500);
    await eventually(async () => (await gateway.report()).replicaInFlight['flood/0'] === 0);
  });
});

/** Streams that have said their first thing; not too many of them at once are on their way there. */
async function openIdle(gateway: RunningGateway, count: number): Promise<void> {
  let begun = 0;
  const one = () =>
    new Promise<void>((said, failed) => {
      const socket = connect(gateway.port, '127.0.0.1', () => socket.write(post({ stream: true })));
      cleanups.push(() => socket.destroy());
      socket.on('error', failed);
      socket.on('data', (bytes: Buffer) => bytes.includes('"content"') && said());
    });
  const lane = async () => {
    while (begun++ < count) await one();
  };
  await Promise.all(Array.from({ length: 64 }, lane));
}

/** Open files that a process may have. */
function descriptorsMax(): number {
  const line = /Max open files\s+\S+\s+(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'));
  return line?.[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line?.[1]);
}

describe('streams that say nothing', () => {
  it('cost little each, 10,000 at once, and the loops go on', async () => {
    // The gateway has two descriptors for each, and some for itself.
    const count = Math.min(10_000, Math.floor((descriptorsMax() - 1_000) / 1_000) * 500);
    const engine = await startEndless('5', '--once');
    const gateway = await startGateway([poolOf('m', [{ url: engine, window: 20_000 }])], {
      totalTimeoutMs: 600_000,
      stallTimeoutMs: 600_000,
      firstTokenTimeoutMs: 600_000,
      connectTimeoutMs: 60_000,
    });
    cleanups.push(() => gateway.stop());
    // What the first ones bring along (code, tables) is not theirs.
    await openIdle(gateway, 500);
    const before = residentBytes(gateway);
    await openIdle(gateway, count - 500);
    const perStream = (residentBytes(gateway) - before) / (count - 500);
    const spansMs: number[] = [];
    await eventually(async () => {
      const startMs = performance.now();
      await (await fetch(`${gateway.url}/livez`)).text();
      spansMs.push(performance.now() - startMs);
      return spansMs.length === 200;
    }, 60_000);
    console.log(
      `${count} idle streams: ${(perStream / 2 / 1024).toFixed(1)} KB per connection, two for each stream; /livez p50 ${percentile(spansMs, 50).toFixed(1)} ms, p99 ${percentile(spansMs, 99).toFixed(1)} ms`,
    );
    expect((await gateway.report()).inFlight).toBe(count);
    // The plan says 25 KB; garbage that waits for its collection is worth some more.
    expect(perStream / 2).toBeLessThan(35 * 1024);
    expect(percentile(spansMs, 99)).toBeLessThan(150);
  });
});
