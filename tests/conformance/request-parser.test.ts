/**
 * The parser of requests against Node's own (llhttp): whatever ours accepts, Node's reads in the same way, so that no message has
 * a meaning that is ours alone. It accepts less, which is meant.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { duplexPair } from 'node:stream';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import {
  RequestFault,
  type RequestHead,
  RequestParser,
} from '../../src/drivers/http/http1/request-parser.ts';
import { canonicalTarget } from '../../src/wire/http/canonical-request.ts';
import { rawHttpMessages } from '../support/malformed-corpus.ts';

interface ReadRequest {
  method: string;
  target: string;
  headers: Record<string, string>;
  body: string;
}

/** What our parser makes of the bytes, cut at `cuts`: complete requests, and whether it refused what came after them. */
function ours(bytes: Buffer, cuts: readonly number[] = []): { requests: ReadRequest[]; refused: boolean } {
  const requests: ReadRequest[] = [];
  let head: RequestHead | null = null;
  let body: Buffer[] = [];
  const parser = new RequestParser({
    onHead: (found) => {
      // As the connection does, before anything else sees the request.
      const target = canonicalTarget(found.target, found.headers.host);
      if ('refused' in target) throw new RequestFault(target.refused);
      head = found;
      body = [];
    },
    onBody: (piece) => void body.push(Buffer.from(piece)),
    onEnd: () => {
      const { method, target, headers } = head as unknown as RequestHead;
      const text = Buffer.concat(body).toString('latin1');
      requests.push({ method, target, headers: { ...headers } as Record<string, string>, body: text });
    },
  });
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  try {
    for (const [index, from] of [0, ...places].entries()) {
      for (let rest = bytes.subarray(from, places[index] ?? bytes.length); rest.length > 0; ) {
        rest = rest.subarray(parser.feed(rest));
        if (!parser.done) continue;
        // As the connection does: nothing behind such a request is read.
        if ((head as RequestHead | null)?.keepAlive === false) return { requests, refused: false };
        parser.next();
      }
    }
  } catch (error) {
    if (!(error instanceof RequestFault)) throw error;
    return { requests, refused: true };
  }
  return { requests, refused: false };
}

const reference = createServer({ requireHostHeader: false, keepAliveTimeout: 0, requestTimeout: 0 });
afterAll(() => reference.close());

/** What Node makes of them. It may give up before it has told of the end of a body that it has read. */
async function nodes(bytes: Buffer): Promise<(ReadRequest & { ended: boolean })[]> {
  const requests: (ReadRequest & { ended: boolean })[] = [];
  const onRequest = (request: IncomingMessage, response: { end(): void }) => {
    const { method = '', url = '', rawHeaders } = request;
    const read = { method, target: url, headers: joined(rawHeaders), body: '', ended: false };
    requests.push(read);
    request.on('error', () => {});
    request.on('data', (piece: Buffer) => {
      read.body += piece.toString('latin1');
    });
    request.on('end', () => {
      read.ended = true;
    });
    response.end();
  };
  for (const event of ['request', 'checkContinue', 'checkExpectation'])
    reference.removeAllListeners(event).on(event, onRequest);
  for (const event of ['upgrade', 'connect'])
    reference.removeAllListeners(event).on(event, (_request, socket) => socket.destroy());
  const [client, server] = duplexPair();
  for (const side of [client, server]) side.on('error', () => {});
  const closed = new Promise((resolve) => server.once('close', resolve));
  client.resume();
  reference.emit('connection', server);
  client.end(bytes);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  client.destroy();
  server.destroy();
  await closed;
  return requests;
}

function joined(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    headers[name] = headers[name] === undefined ? raw[at + 1]! : `${headers[name]}, ${raw[at + 1]}`;
  }
  return headers;
}

async function expectSameMeaning(bytes: Buffer): Promise<number> {
  const { requests } = ours(bytes);
  if (requests.length === 0) return 0;
  const read = await nodes(bytes);
  for (const [index, { body, ...request }] of requests.entries()) {
    const { body: found = '', ended, ...other } = read[index] ?? {};
    expect(other).toEqual(request);
    expect(ended ? found : body.slice(0, found.length)).toEqual(ended ? body : found);
  }
  return requests.length;
}

const odd = <T>(usual: T, ...others: T[]) =>
  fc.oneof(
    { arbitrary: fc.constant(usual), weight: 12 },
    { arbitrary: fc.constantFrom(...others), weight: 1 },
  );
const lineEnd = odd('\r\n', '\n', '\r', '\r\r\n', '\r\n ', '');
const blank = odd(' ', '  ', '\t', '');
const header = fc
  .tuple(
    odd(
      'X-A',
      'Host',
      'Content-Length',
      'Transfer-Encoding',
      'Expect',
      'Connection',
      'X_B',
      'X A',
      '',
      'Upgrade',
      'Trailer',
    ),
    odd(':', ' :', ': ', ':\t', ''),
    odd(
      '1',
      'chunked',
      '0',
      '3',
      'close',
      '100-continue',
      '\x00',
      'a\x7f',
      '\xe9',
      '',
      'gzip, chunked',
      '+3',
      '3, 3',
    ),
    lineEnd,
  )
  .map((parts) => parts.join(''));
const framing = fc.oneof(
  fc.constant({ line: '', body: '' }),
  fc.constant({ line: 'Content-Length: 3\r\n', body: 'abc' }),
  fc
    .array(
      fc.tuple(
        odd('3', '0003', '3;a=b', '3;a', '3 ', '4', '2', 'x', '3;"q"', '3;a = b'),
        lineEnd,
        odd('abc', 'ab'),
        lineEnd,
      ),
      { maxLength: 3 },
    )
    .chain((chunks) =>
      fc
        .tuple(
          odd('0', '000', '0;x', ''),
          lineEnd,
          odd('', 'T: x\r\n', 'Content-Length: 9\r\n', 'T\r\n'),
          lineEnd,
        )
        .map((end) => ({
          line: 'Transfer-Encoding: chunked\r\n',
          body: `${chunks.map((chunk) => chunk.join('')).join('')}${end.join('')}`,
        })),
    ),
);
const message = fc
  .tuple(
    odd('POST', 'GET', 'DELETE', 'HEAD', 'post', 'P\x00ST', 'FOO', ''),
    blank,
    odd('/v1/models', '*', 'http://h/', '/a b', '/\xff', '//', '/%00', ''),
    blank,
    odd('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 '),
    lineEnd,
    fc.array(header, { maxLength: 3 }),
    framing,
    lineEnd,
  )
  .map(
    ([method, a, target, b, version, end, headers, { line, body }, last]) =>
      `${method}${a}${target}${b}${version}${end}Host: h\r\n${headers.join('')}${line}${last}${body}`,
  );
const mutation = fc.tuple(
  fc.nat(400),
  fc.nat(2),
  fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    ':',
    '\0',
    '0',
    '1',
    ',',
    ';',
    '\x7f',
    '\xff',
    'chunked',
    'Content-Length: 1\r\n',
  ),
);
const hostile = fc
  .tuple(fc.array(message, { minLength: 1, maxLength: 3 }), fc.array(mutation, { maxLength: 2 }))
  .map(([messages, mutations]) => {
    let text = messages.join('');
    for (const [place, removed, inserted] of mutations) {
      const at = place % (text.length + 1);
      text = `${text.slice(0, at)}${inserted}${text.slice(at + removed)}`;
    }
    return Buffer.from(text, 'latin1');
  });

describe('requests that our parser accepts', () => {
  it('mean the same to Node (10,000 cases)', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(hostile, async (bytes) => {
        accepted += await expectSameMeaning(bytes);
      }),
      { numRuns: 10_000 },
    );
    // Otherwise this test would say nothing.
    expect(accepted).toBeGreaterThan(2_000);
  });

  it('mean the same to Node, of the corpus of broken messages', async () => {
    for (const { bytes } of rawHttpMessages()) await expectSameMeaning(bytes);
  });

  it('are the same however they are cut, and so is what is refused (10,000 cases)', () => {
    fc.assert(
      fc.property(hostile, fc.array(fc.nat(600), { maxLength: 8 }), (bytes, cuts) => {
        expect(ours(bytes, cuts)).toEqual(ours(bytes));
      }),
      { numRuns: 10_000 },
    );
  });
});
