/**
 * The bounded queue in front of the replicas, seen from outside: windows are kept over all workers, waiting requests are
 * served, refused or expired with honest answers, and slow readers hold back the engine instead of filling memory.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function engineWith(base: Parameters<typeof startScriptedEngine>[0]): Promise<ScriptedEngine> {
  const engine = await startScriptedEngine(base);
  cleanups.push(() => engine.close());
  return engine;
}

async function gatewayOn(...args: Parameters<typeof startGateway>): Promise<RunningGateway> {
  const gateway = await startGateway(...args);
  cleanups.push(() => gateway.stop());
  return gateway;
}

function ask(gateway: RunningGateway, body: Record<string, unknown> = {}): Promise<Response> {
  return fetch(`${gateway.v1}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: 'Hi' }], ...body }),
  });
}

describe('queue', () => {
  it('never exceeds the windows of the replicas, over all workers, and serves everybody in the end', async () => {
    const engines = [await engineWith({ paceMs: 2 }), await engineWith({ paceMs: 2 })];
    const gateway = await gatewayOn(
      [
        poolOf(
          'demo',
          engines.map(({ url }) => ({ url, window: 3 })),
        ),
      ],
      { workers: 3, queueSizeMax: 200 },
    );
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, ...engines.map(({ inFlight }) => inFlight));
    }, 1);
    const answers = await Promise.all(
      Array.from({ length: 60 }, () => ask(gateway, { stream: true }).then((answer) => answer.text())),
    );
    clearInterval(watch);
    expect(answers.every((text) => text.includes('[DONE]'))).toBe(true);
    expect(most).toBeLessThanOrEqual(3);
    expect(most).toBeGreaterThan(1);
  });

  it('spreads requests over the replicas', async () => {
    const engines = [await engineWith({ paceMs: 1 }), await engineWith({ paceMs: 1 })];
    const gateway = await gatewayOn([
      poolOf(
        'demo',
        engines.map(({ url }) => ({ url })),
      ),
    ]);
    await Promise.all(
      Array.from({ length: 40 }, () => ask(gateway, { stream: true }).then((answer) => answer.text())),
    );
    const counts = engines.map(({ seen }) => seen.length);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(15);
  });

  it('answers 429 with Retry-After when it is full', async () => {
    const engine = await engineWith({ hang: true });
    const gateway = await gatewayOn([poolOf('demo', [{ url: engine.url, window: 1 }])], { queueSizeMax: 2 });
    const held = Array.from({ length: 3 }, () => ask(gateway).catch(() => null));
    await eventually(() => engine.seen.length === 1);
    const refused = await eventuallyStatus(() => ask(gateway), 429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toMatchObject({ error: { code: 'saturated', type: 'rate_limit_error' } });
    await gateway.stop();
    await Promise.all(held);
  });

  it('answers 408 when the deadline passes in the queue, and does not send the request', async () => {
    const engine = await engineWith({ hang: true });
    const gateway = await gatewayOn([poolOf('demo', [{ url: engine.url, window: 1 }])], {
      queueTimeoutMs: 150,
    });
    const held = ask(gateway).catch(() => null);
    await eventually(() => engine.seen.length === 1);
    const expired = await ask(gateway);
    expect(expired.status).toBe(408);
    expect(engine.seen).toHaveLength(1);
    await gateway.stop();
    await held;
  });

  it('answers every request whose total limit passes in the queue', async () => {
    const engine = await engineWith({ hang: true });
    const gateway = await gatewayOn([poolOf('demo', [{ url: engine.url, window: 1 }])], {
      totalTimeoutMs: 400,
      firstTokenTimeoutMs: 60_000,
    });
    const statuses = await Promise.all(
      Array.from({ length: 10 }, () => ask(gateway).then(({ status }) => status)),
    );
    // On a replica or in the queue: both limits pass at the same moment.
    expect(statuses.filter((status) => status !== 504 && status !== 408)).toEqual([]);
    await eventually(() => gateway.log().length === 10);
    expect(gateway.log().map(({ outcome }) => outcome)).not.toContain('cancelled-by-client');
  });

  it('waits for a replica that is on its way, and says 503 when none can come', async () => {
    const engine = await engineWith({});
    const gateway = await gatewayOn(
      [
        poolOf('demo', [{ url: engine.url, state: 'starting' }]),
        poolOf('down', [{ url: engine.url, state: 'quarantined' }]),
      ],
      { queueTimeoutMs: 150 },
    );
    const waited = await ask(gateway);
    expect(waited.status).toBe(503);
    expect(waited.headers.get('retry-after')).not.toBeNull();
    const down = await ask(gateway, { model: 'down' });
    expect(down.status).toBe(503);
    expect(((await down.json()) as { error: { message: string } }).error.message).toContain(
      'down/0 is quarantined',
    );
  });

  it('a request whose only replica has just died gets a 503 that says so', async () => {
    const dead = await engineWith({});
    const gateway = await gatewayOn([poolOf('demo', [{ url: dead.url }])]);
    await dead.kill();
    const answer = await ask(gateway);
    const { error } = (await answer.json()) as { error: { code: string; message: string } };
    expect([answer.status, answer.headers.get('retry-after'), error.code]).toEqual([503, '5', 'no_replica']);
    expect(error.message).toMatch(/^model "demo": nothing answers at its replicas \(.*ECONNREFUSED/);
  });

  it('retries on a refused connection do not spend the request when another replica is up', async () => {
    const dead = await engineWith({});
    const alive = await engineWith({});
    const gateway = await gatewayOn([poolOf('demo', [{ url: dead.url }, { url: alive.url }])], {
      ejectionMs: 500,
    });
    await dead.kill();
    const statuses = await Promise.all(
      Array.from({ length: 30 }, () => ask(gateway).then(({ status }) => status)),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});

async function eventuallyStatus(send: () => Promise<Response>, status: number): Promise<Response> {
  for (let turn = 0; turn < 50; turn++) {
    const answer = await Promise.race([
      send(),
      new Promise<null>((resolve) => setTimeout(() => resolve(null), 300)),
    ]);
    if (answer?.status === status) return answer;
  }
  throw new Error(`no answer with status ${status}`);
}

describe('slow readers', () => {
  it('hold the engine back instead of filling the memory of the gateway', async () => {
    const { server, sent } = await floodingEngine();
    cleanups.push(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    // What is kept for a continuation has a bound of its own and is not what is measured here.
    const gateway = await gatewayOn(
      [poolOf('demo', [{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }])],
      { replayBytesMax: 65_536 },
    );
    const before = rssBytes(gateway);
    const body = JSON.stringify({ model: 'demo', messages: [], stream: true });
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect(gateway.port, '127.0.0.1');
      socket.pause();
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      return socket;
    });
    // Everything between engine and readers is full when each stream waits to write and none gets further.
    let last = -1;
    let still = 0;
    await eventually(() => {
      still = sent.waiting === sockets.length && sent.bytes === last ? still + 1 : 0;
      last = sent.bytes;
      return still >= 50;
    }, 20_000);
    expect(rssBytes(gateway) - before).toBeLessThan(200 * 1024 * 1024);
    for (const socket of sockets) socket.destroy();
  });
});

describe('readers that never read', () => {
  it.each([
    ['a whole answer', false],
    ['a stream', true],
  ])('are dropped after the limit, also when the engine is done with %s', async (_name, stream) => {
    const big = { body: JSON.stringify({ choices: [], filler: 'x'.repeat(20_000_000) }) };
    const engine = await engineWith(
      stream ? { answer: Array.from({ length: 4_000 }, () => 'x'.repeat(4_000)) } : { status: 200, ...big },
    );
    const gateway = await gatewayOn([poolOf('demo', [{ url: engine.url }])], { writeStallTimeoutMs: 500 });
    const body = JSON.stringify({ model: 'demo', messages: [], stream });
    const socket = neverReading(
      gateway,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const line = await eventually(() => gateway.log().find(({ route }) => route !== null && true), 15_000);
    expect(line.outcome).toBe('cancelled-by-client');
    socket.destroy();
  });

  it('are dropped when they come back to the stream of a response', async () => {
    const engine = await engineWith({ answer: Array.from({ length: 300 }, () => 'x'.repeat(16_000)) });
    const gateway = await gatewayOn([poolOf('demo', [{ url: engine.url }])], { writeStallTimeoutMs: 500 });
    const created = await fetch(`${gateway.v1}/responses`, {
      method: 'POST',
      body: JSON.stringify({ model: 'demo', input: 'Hi', background: true, stream: true }),
    });
    const events = created.body?.getReader();
    const { value } = (await events?.read()) ?? {};
    const id = /resp_[0-9a-f]{32}/.exec(Buffer.from(value ?? []).toString())?.[0];
    await events?.cancel();
    const state = async () => (await fetch(`${gateway.v1}/responses/${id}`)).json() as Promise<unknown>;
    await expect.poll(state, { timeout: 30_000 }).toMatchObject({ status: 'completed' });
    const socket = neverReading(gateway, `GET /v1/responses/${id}?stream=true HTTP/1.1\r\nHost: x\r\n\r\n`);
    const line = await eventually(
      () => gateway.log().find(({ stream, ...logged }) => stream && logged['http.request.method'] === 'GET'),
      15_000,
    );
    expect([line.outcome, line.error_code]).toEqual(['cancelled-by-client', 'client_closed']);
    socket.destroy();
  });
});

function neverReading(gateway: RunningGateway, request: string): Socket {
  const socket = connect(gateway.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(request);
  return socket;
}

/** Sends events as fast as they are taken. */
async function floodingEngine(): Promise<{ server: Server; sent: { bytes: number; waiting: number } }> {
  const sent = { bytes: 0, waiting: 0 };
  const event = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'x'.repeat(2000) } }] })}\n\n`;
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const pump = () => {
      for (;;) {
        if (response.destroyed) return;
        sent.bytes += event.length;
        if (response.write(event)) continue;
        sent.waiting++;
        return void response.once('drain', () => {
          sent.waiting--;
          pump();
        });
      }
    };
    pump();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, sent };
}

function rssBytes(gateway: RunningGateway): number {
  const status = readFileSync(`/proc/${gateway.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
