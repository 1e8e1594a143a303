/** Our HTTP/1.1 client on real sockets: when it uses a connection again, when it must not, and what ends it. */

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { Transport, UpstreamCall, UpstreamRequest } from '../../src/contract/ports/transport.ts';
import { createHttp1Transport } from '../../src/drivers/http/http1/http1-transport.ts';
import { eventually } from '../support/gateway-under-test.ts';

interface RawServer {
  origin: string;
  server: Server;
  sockets: Socket[];
  /** Whole requests as they came, over all connections. */
  requests: string[];
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Calls `answer` for each request, with its number and its socket. */
async function serve(answer: (socket: Socket, request: number) => void): Promise<RawServer> {
  const raw: RawServer = { origin: '', server: createServer(), sockets: [], requests: [] };
  raw.server.on('connection', (socket) => {
    raw.sockets.push(socket);
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      const head = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
      if (head < 0 || text.length < head + 4 + length) return;
      raw.requests.push(text);
      text = '';
      answer(socket, raw.requests.length);
    });
  });
  await new Promise<void>((resolve) => raw.server.listen(0, '127.0.0.1', resolve));
  raw.origin = `http://127.0.0.1:${(raw.server.address() as AddressInfo).port}`;
  cleanups.push(() => {
    for (const socket of raw.sockets) socket.destroy();
    return new Promise((resolve) => raw.server.close(resolve));
  });
  return raw;
}

function transportOf(...args: Partial<Parameters<typeof createHttp1Transport>[0]>[]): Transport {
  const transport = createHttp1Transport({ clock: systemClock, ...args[0] });
  cleanups.push(() => transport.close());
  return transport;
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

interface Ended {
  status: number;
  body: string;
  end: string;
}

function send(
  transport: Transport,
  origin: string,
  more: Partial<UpstreamRequest> = {},
): { call: UpstreamCall; done: Promise<Ended>; body: () => string } {
  let body = '';
  let status = 0;
  let call!: UpstreamCall;
  const done = new Promise<Ended>((resolve) => {
    call = transport.send(
      {
        origin,
        method: 'POST',
        path: '/v1/x',
        headers: { 'content-type': 'application/json' },
        body: Buffer.from('{}'),
        connectTimeoutMs: 2_000,
        ...more,
      },
      {
        onHead: (found) => {
          status = found;
        },
        onData: (chunk) => {
          body += chunk.toString();
        },
        onEnd: () => resolve({ status, body, end: 'ended' }),
        onError: (failure) => resolve({ status, body, end: failure }),
      },
    );
  });
  return { call, done, body: () => body };
}

describe('connections', () => {
  it('are used again, one request at a time, newest first', async () => {
    const raw = await serve((socket) => socket.write(OK));
    const transport = transportOf();
    for (let turn = 0; turn < 5; turn++)
      expect(await send(transport, raw.origin).done).toEqual({ status: 200, body: 'ok', end: 'ended' });
    expect(raw.sockets).toHaveLength(1);
    await Promise.all([send(transport, raw.origin).done, send(transport, raw.origin).done]);
    expect(raw.sockets).toHaveLength(2);
    expect(raw.requests[0]).toBe(
      `POST /v1/x HTTP/1.1\r\nhost: ${new URL(raw.origin).host}\r\nconnection: keep-alive\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    );
  });

  it('carry large bodies whole', async () => {
    const raw = await serve((socket) => socket.write(OK));
    const body = Buffer.alloc(3_000_000, 'a');
    expect((await send(transportOf(), raw.origin, { body }).done).end).toBe('ended');
    expect(raw.requests[0]?.length).toBeGreaterThan(3_000_000);
  });

  it.each([
    ['says so', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['speaks HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    [
      'keeps them for less than it takes to use them',
      'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok',
    ],
    ['sends more than it announced', `${OK}and more`],
  ])('are not used again when the engine %s', async (_name, answer) => {
    const raw = await serve((socket) => socket.write(answer));
    const transport = transportOf();
    expect((await send(transport, raw.origin).done).body).toBe('ok');
    expect((await send(transport, raw.origin).done).body).toBe('ok');
    expect(raw.sockets).toHaveLength(2);
  });

  it('are closed before the engine would, and when its origin is forgotten', async () => {
    const raw = await serve((socket) => socket.write(OK));
    let now = 0;
    const transport = transportOf({ clock: { monotonicMs: () => now } });
    await send(transport, raw.origin).done;
    now = 10_000;
    await eventually(() => raw.sockets[0]?.destroyed || raw.sockets[0]?.readableEnded, 5_000);
    await send(transport, raw.origin).done;
    expect(raw.sockets).toHaveLength(2);
    transport.forget(raw.origin);
    await eventually(() => raw.sockets[1]?.destroyed || raw.sockets[1]?.readableEnded);
  });
});

describe('a connection that the engine has closed', () => {
  it('is replaced once, when nothing of an answer had come', async () => {
    const raw = await serve((socket, request) => (request === 2 ? socket.destroy() : socket.write(OK)));
    const transport = transportOf();
    await send(transport, raw.origin).done;
    // The second request meets a connection that dies under it; it is asked again on a new one.
    expect(await send(transport, raw.origin).done).toEqual({ status: 200, body: 'ok', end: 'ended' });
    expect([raw.sockets.length, raw.requests.length]).toEqual([2, 3]);
  });

  it('is a failure when it was new, when it dies twice, and when some of the answer had come', async () => {
    const fresh = await serve((socket) => socket.destroy());
    expect((await send(transportOf(), fresh.origin).done).end).toBe('connection-lost');
    expect(fresh.requests).toHaveLength(1);

    const twice = await serve((socket, request) => (request === 1 ? socket.write(OK) : socket.destroy()));
    const transport = transportOf();
    await send(transport, twice.origin).done;
    expect((await send(transport, twice.origin).done).end).toBe('connection-lost');
    expect(twice.requests).toHaveLength(3);

    // An engine that dies of the second request, and leaves nobody to ask again.
    const dying = await serve((socket, request) => {
      if (request === 1) return socket.write(OK);
      dying.server.close();
      return socket.destroy();
    });
    const last = transportOf();
    await send(last, dying.origin).done;
    expect((await send(last, dying.origin).done).end).toBe('connection-lost');

    const partly = await serve((socket, request) => {
      if (request === 1) socket.write(OK);
      else socket.end('HTTP/1.1 200 OK\r\nContent-');
    });
    const other = transportOf();
    await send(other, partly.origin).done;
    expect((await send(other, partly.origin).done).end).toBe('connection-lost');
    expect(partly.requests).toHaveLength(2);
  });
});

describe('a call', () => {
  it('fails at once where nobody listens, and after its limit where nobody answers', async () => {
    const raw = await serve(() => {});
    const { origin, server } = raw;
    await new Promise((resolve) => server.close(resolve));
    expect((await send(transportOf(), origin).done).end).toBe('connect-refused');
    const silent = transportOf({
      open: () => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }),
    });
    expect((await send(silent, origin, { connectTimeoutMs: 30 }).done).end).toBe('connect-timeout');
  });

  it('closes its connection when it is aborted, and is silent from then on', async () => {
    const raw = await serve((socket) =>
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n'),
    );
    const { call, done, body } = send(transportOf(), raw.origin);
    await eventually(() => body() === 'hi');
    call.abort();
    await eventually(() => raw.sockets[0]?.destroyed || raw.sockets[0]?.readableEnded);
    expect(await Promise.race([done, Promise.resolve('silent')])).toBe('silent');
  });

  it('reads nothing while it is paused', async () => {
    const block = Buffer.alloc(1 << 20, 'x');
    let written = 0;
    const raw = await serve((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * block.length}\r\n\r\n`);
      const more = () => {
        while (written < 64) {
          written++;
          if (!socket.write(block)) return;
        }
      };
      socket.on('drain', more);
      more();
    });
    const { call, done, body } = send(transportOf(), raw.origin);
    await eventually(() => body().length > 0);
    call.pause();
    const before = body().length;
    const seen = await new Promise<number>((resolve) => setTimeout(() => resolve(body().length), 100));
    expect(seen).toBe(before);
    expect(written).toBeLessThan(64);
    call.resume();
    expect((await done).body.length).toBe(64 * block.length);
  });

  it.each([
    ['a header with a line break', { headers: { 'x-a': 'b\r\nHost: evil' } }],
    ['a path with a line break', { path: '/a\r\nX: y' }],
  ])('is refused before anything is sent: %s', async (_name, more) => {
    const raw = await serve((socket) => socket.write(OK));
    await expect(send(transportOf(), raw.origin, more).done).rejects.toThrow(TypeError);
    expect(raw.requests).toEqual([]);
  });
});
