/**
 * The HTTP edge with raw sockets: bodies in any chunking arrive whole, and what two parsers could read differently is
 * refused (security checklist 4.6).
 */
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PlatformError } from '../../src/contract/errors.ts';
import { createHttpServer, type HttpServer } from '../../src/drivers/http/server.ts';
import { jsonValue } from '../support/hostile-json.ts';

let server: HttpServer;
let port: number;
let handled = 0;

beforeAll(async () => {
  server = createHttpServer({
    handle: (exchange) => {
      handled++;
      exchange.readBody(100_000).then(
        (body) => exchange.send(200, { 'content-type': 'application/octet-stream' }, body),
        (error: unknown) => exchange.send(PlatformError.from(error).spec.status, {}, String(error)),
      );
    },
  });
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
});

afterAll(() => server.destroy());

/** Keeps one connection and reads answers with Content-Length off it. */
class RawClient {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  constructor(to = port) {
    this.socket = connect(to, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    this.socket.on('close', () => this.#wake());
  }

  async answer(): Promise<{ status: number; body: Buffer }> {
    for (;;) {
      const headEnd = this.#buffer.indexOf('\r\n\r\n');
      if (headEnd >= 0) {
        const head = this.#buffer.toString('latin1', 0, headEnd);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        if (this.#buffer.length >= headEnd + 4 + length) {
          const body = this.#buffer.subarray(headEnd + 4, headEnd + 4 + length);
          this.#buffer = this.#buffer.subarray(headEnd + 4 + length);
          return { status: Number(head.slice(9, 12)), body };
        }
      }
      if (this.socket.destroyed) return { status: 0, body: this.#buffer };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function pieces(bytes: Buffer, cuts: number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places]
    .map((from, index) => bytes.subarray(from, places[index] ?? bytes.length))
    .filter((piece) => piece.length > 0);
}

describe('request bodies', () => {
  it('arrive whole in any chunking, framed either way (10,000 cases)', async () => {
    const client = new RawClient();
    await fc.assert(
      fc.asyncProperty(
        jsonValue(2),
        fc.array(fc.nat(500), { maxLength: 5 }),
        fc.boolean(),
        async (value, cuts, chunked) => {
          const body = Buffer.from(JSON.stringify({ value }));
          const parts = pieces(body, cuts);
          if (chunked) {
            client.socket.write('POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n');
            for (const part of parts)
              client.socket.write(
                Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]),
              );
            client.socket.write('0\r\n\r\n');
          } else {
            client.socket.write(`POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n`);
            for (const part of parts) client.socket.write(part);
          }
          const answer = await client.answer();
          expect(answer.status).toBe(200);
          expect(answer.body.equals(body)).toBe(true);
        },
      ),
      { numRuns: 10_000 },
    );
    client.socket.destroy();
  });
});

describe('requests that could be read in two ways', () => {
  const line = 'GET / HTTP/1.1\r\nHost: h\r\n';
  it.each([
    ['a second Host', `${line}Host: other\r\n\r\n`],
    [
      'a second Content-Length',
      'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
    ],
    [
      'Content-Length and Transfer-Encoding',
      'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'another transfer coding',
      'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'Transfer-Encoding in HTTP/1.0',
      'POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['an absolute target for another host', 'GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['an underscore in a header name', `${line}X_User: root\r\n\r\n`],
    ['a prototype as a header', `${line}__proto__: x\r\n\r\n`],
    ['two credentials', `${line}Authorization: Bearer a\r\nX-Api-Key: b\r\n\r\n`],
    ['GET with a body', `${line}Content-Length: 2\r\n\r\nxx`],
    ['dot segments', 'GET /v1/../admin HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['an empty segment', 'GET //admin HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['space before a colon', `${line}X : y\r\n\r\n`],
    ['a bare LF', 'GET / HTTP/1.1\nHost: h\n\n'],
    ['an upgrade', `${line}Connection: upgrade\r\nUpgrade: h2c\r\n\r\n`],
    ['no HTTP at all', 'hello\r\n\r\n'],
  ])('are refused with 400, or not answered: %s', async (_name, raw) => {
    const before = handled;
    const client = new RawClient();
    client.socket.write(raw);
    const { status } = await client.answer();
    client.socket.destroy();
    expect([400, 0]).toContain(status);
    expect(handled).toBe(before);
  });

  it.each([
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['an expectation that nobody can meet', `${line}Expect: banana\r\n\r\n`, 417],
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 405],
  ])('answers %s with the error object', async (_name, raw, status) => {
    const client = new RawClient();
    client.socket.write(raw);
    const answer = await client.answer();
    client.socket.destroy();
    expect(answer.status).toBe(status);
    expect(Object.keys(JSON.parse(answer.body.toString()).error).sort()).toEqual([
      'code',
      'message',
      'param',
      'type',
    ]);
  });

  it('answers the good request before a bad one on the same connection', async () => {
    const client = new RawClient();
    client.socket.write('POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nokGARBAGE\r\n\r\n');
    const [good, bad] = [await client.answer(), await client.answer()];
    client.socket.destroy();
    expect([good.status, good.body.toString(), bad.status]).toEqual([200, 'ok', 400]);
  });

  it('refuses a header block that is too large with 431', async () => {
    const client = new RawClient();
    client.socket.write(`${line}X-Big: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect((await client.answer()).status).toBe(431);
    client.socket.destroy();
  });

  it('refuses a body beyond the limit while it arrives', async () => {
    const client = new RawClient();
    client.socket.write('POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = Buffer.concat([Buffer.from('4000\r\n'), Buffer.alloc(0x4000, 'x'), Buffer.from('\r\n')]);
    for (let sent = 0; sent < 10; sent++) client.socket.write(piece);
    expect((await client.answer()).status).toBe(413);
    client.socket.destroy();
  });
});

describe('streamed answers', () => {
  const PIECES = ['data: a\n\n', '', 'data: é🙂\n\n', `data: ${'x'.repeat(70_000)}\n\n`];
  let streaming: HttpServer;
  let streamPort: number;

  beforeAll(async () => {
    streaming = createHttpServer({
      handle: (exchange) => {
        if (exchange.path === '/known-length') {
          exchange.sendHead(200, { 'content-length': '4' });
          exchange.write('ab');
          return exchange.end('cd');
        }
        exchange.sendHead(200, { 'content-type': 'text/event-stream' });
        for (const piece of PIECES) exchange.write(Buffer.from(piece));
        setImmediate(() => exchange.end('data: [DONE]\n\n'));
      },
    });
    ({ port: streamPort } = await streaming.listen({ host: '127.0.0.1', port: 0 }));
  });
  afterAll(() => streaming.destroy());

  /** Sends raw text and gives back all that comes until the connection closes. */
  function raw(text: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(streamPort, '127.0.0.1', () => socket.write(text));
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('close', () => resolve(Buffer.concat(chunks).toString('utf8')));
    });
  }

  /** Takes the chunked coding apart; throws when it is none. */
  function dechunk(body: string): { text: string; rest: string } {
    let bytes = Buffer.from(body);
    let text = '';
    for (;;) {
      const end = bytes.indexOf('\r\n');
      const size = Number.parseInt(bytes.toString('latin1', 0, end), 16);
      if (!(size >= 0)) throw new Error(`no chunk size in ${JSON.stringify(bytes.toString('utf8', 0, 40))}`);
      text += bytes.toString('utf8', end + 2, end + 2 + size);
      bytes = bytes.subarray(end + 2 + size);
      if (bytes.toString('latin1', 0, 2) !== '\r\n') throw new Error('a chunk without its end');
      bytes = bytes.subarray(2);
      if (size === 0) return { text, rest: bytes.toString() };
    }
  }

  const whole = `${PIECES.join('')}data: [DONE]\n\n`;
  const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4);

  it('are chunked for HTTP/1.1, whole, and one after the other when requests are pipelined', async () => {
    const request = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n';
    const answer = await raw(`${request}GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const first = dechunk(bodyOf(answer));
    expect(first.text).toBe(whole);
    expect(first.rest).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(dechunk(bodyOf(first.rest))).toEqual({ text: whole, rest: '' });
  });

  it('are plain where their length is known, and the connection goes on', async () => {
    const request = 'GET /known-length HTTP/1.1\r\nHost: x\r\n';
    const answers = await raw(`${request}\r\n${request}Connection: close\r\n\r\n`);
    expect(answers.match(/\r\n\r\nabcd/g)).toHaveLength(2);
    expect(answers).not.toContain('chunked');
  });

  it('are plain for HTTP/1.0, and only a head for HEAD', async () => {
    expect(bodyOf(await raw('GET /a HTTP/1.0\r\nHost: x\r\n\r\n'))).toBe(whole);
    expect(bodyOf(await raw('HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))).toBe('');
  });
});

describe('a body that does not come as announced', () => {
  const HEAD = 'POST / HTTP/1.1\r\nHost: h\r\n';

  it.each([
    'xyz\r\n',
    '-1\r\na\r\n',
    '5\r\nabcdeXX',
    '0x5\r\nabcde\r\n',
  ])('is refused at once when it breaks off: %j', async (chunk) => {
    const client = new RawClient();
    client.socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
    expect((await client.answer()).status).toBe(400);
    await new Promise((resolve) => client.socket.once('close', resolve));
  });

  it('is refused when it is late', async () => {
    const impatient = createHttpServer({
      requestTimeoutMs: 200,
      headersTimeoutMs: 200,
      handle: (exchange) => {
        exchange.readBody(100).catch((error: unknown) => {
          exchange.send(PlatformError.from(error).spec.status, {}, PlatformError.from(error).code);
        });
      },
    });
    const { port: own } = await impatient.listen({ host: '127.0.0.1', port: 0 });
    try {
      const socket = connect(own, '127.0.0.1');
      socket.write(`${HEAD}Content-Length: 5\r\n\r\nab`);
      let text = '';
      for await (const chunk of socket) text += chunk;
      expect(text).toMatch(/^HTTP\/1\.1 408 [\s\S]*request_timeout$/);
    } finally {
      impatient.destroy();
    }
  });

  it('and is too large is answered before the connection ends, also while the client goes on sending', async () => {
    const client = new RawClient();
    const body = Buffer.alloc(4_000_000, 'x');
    client.socket.write(`${HEAD}Content-Length: ${body.length}\r\n\r\n`);
    client.socket.write(body);
    expect((await client.answer()).status).toBe(413);
    client.socket.destroy();
  });
});

describe('bodies that are read in chunks', () => {
  let chunked: HttpServer;
  let chunkedPort: number;
  /** What the newest reader has taken, and how it ended. */
  const seen = { bytes: 0, end: '' };
  let gate: Promise<void> = Promise.resolve();

  beforeAll(async () => {
    chunked = createHttpServer({
      handle: async (exchange) => {
        seen.bytes = 0;
        seen.end = '';
        try {
          for await (const chunk of exchange.bodyChunks(50_000_000)) {
            await gate;
            seen.bytes += chunk.length;
            if (exchange.path === '/stop-early') break;
          }
          seen.end = 'whole';
          exchange.send(200, {}, String(seen.bytes));
        } catch (thrown) {
          const error = PlatformError.from(thrown);
          seen.end = error.code;
          if (!exchange.headSent) exchange.send(error.spec.status, {}, error.code);
        }
      },
      uploadSilenceMs: 200,
    });
    ({ port: chunkedPort } = await chunked.listen({ host: '127.0.0.1', port: 0 }));
  });

  afterAll(() => chunked.destroy());

  const head = (length: number | null, path = '/') =>
    `POST ${path} HTTP/1.1\r\nHost: h\r\n${length === null ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`}\r\n\r\n`;

  it('hold a fast client back while the reader is slow, and arrive whole', async () => {
    const release = Promise.withResolvers<void>();
    gate = release.promise;
    const client = new RawClient(chunkedPort);
    const total = 40_000_000;
    client.socket.write(head(total));
    for (let sent = 0; sent < total; sent += 1_000_000) client.socket.write(Buffer.alloc(1_000_000));
    // The kernel's buffers take a few megabytes; the rest stays with the client, for longer than its silence may last.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(client.socket.writableLength).toBeGreaterThan(total / 2);
    expect(seen.bytes).toBe(0);
    release.resolve();
    expect(await client.answer()).toMatchObject({ status: 200, body: Buffer.from(String(total)) });
    client.socket.destroy();
  });

  it('are refused at once when too many bytes are announced, and when more come than may', async () => {
    const announced = new RawClient(chunkedPort);
    announced.socket.write(head(1_000_000_000));
    expect((await announced.answer()).status).toBe(413);
    const endless = new RawClient(chunkedPort);
    endless.socket.write(head(null));
    const piece = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000), Buffer.from('\r\n')]);
    const pump = setInterval(
      () => endless.socket.writableLength < 4_000_000 && endless.socket.write(piece),
      1,
    );
    const { status } = await endless.answer();
    clearInterval(pump);
    expect(status).toBe(413);
    for (const client of [announced, endless]) client.socket.destroy();
  });

  it('end with client_closed when the client goes in the middle', async () => {
    const client = new RawClient(chunkedPort);
    client.socket.write(head(1_000));
    client.socket.write(Buffer.alloc(500));
    await vi.waitUntil(() => seen.bytes === 500);
    client.socket.destroy();
    await vi.waitUntil(() => seen.end !== '');
    expect(seen.end).toBe('client_closed');
  });

  it('are given up with 408 when the client falls silent', async () => {
    const client = new RawClient(chunkedPort);
    client.socket.write(head(1_000));
    client.socket.write(Buffer.alloc(500));
    expect((await client.answer()).status).toBe(408);
    await vi.waitUntil(() => seen.end !== '');
    expect(seen.end).toBe('request_timeout');
  });

  it('are thrown away when the reader stops early: for a moment, then the connection is cut', async () => {
    const polite = new RawClient(chunkedPort);
    polite.socket.write(head(100_000, '/stop-early'));
    polite.socket.write(Buffer.alloc(100_000));
    expect((await polite.answer()).status).toBe(200);
    polite.socket.write(head(5));
    polite.socket.write('again');
    expect(await polite.answer()).toMatchObject({ status: 200, body: Buffer.from('5') });
    polite.socket.destroy();

    const endless = new RawClient(chunkedPort);
    endless.socket.write(head(40_000_000, '/stop-early'));
    endless.socket.write(Buffer.alloc(10_000));
    expect((await endless.answer()).status).toBe(200);
    await vi.waitUntil(() => endless.socket.destroyed, { timeout: 10_000 });
  });
});
