/**
 * Two transports that must not be told apart: our own HTTP/1.1 client and undici. Method: a corpus of responses, cut at every
 * offset, given to both over streams in memory; status, headers, bytes and the kind of end are compared. What differs on
 * purpose (we are stricter) stands in a list, with the reason. Then what only real sockets show.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { Transport, UpstreamRequest } from '../../src/contract/ports/transport.ts';
import { createHttp1Transport } from '../../src/drivers/http/http1/http1-transport.ts';
import { createUndiciTransport } from '../../src/drivers/http/undici-transport.ts';
import { responseCorpus, type SampleResponse } from '../support/response-corpus.ts';

const REQUEST: UpstreamRequest = {
  origin: 'http://engine.test:8000',
  method: 'POST',
  path: '/v1/chat/completions',
  headers: { 'content-type': 'application/json', 'x-request-id': 'r-1' },
  body: Buffer.from('{"model":"m"}'),
  connectTimeoutMs: 5_000,
};

/** An answer in memory takes microseconds. */
const PATIENCE_MS = 1_000;

interface Seen {
  head: { status: number; headers: Record<string, unknown> } | null;
  body: string;
  end: string;
}

function ask(transport: Transport, request: Partial<UpstreamRequest> = {}): Promise<Seen> {
  return new Promise((resolve) => {
    const seen: Seen = { head: null, body: '', end: '' };
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => finish('nothing'), PATIENCE_MS);
    const finish = (end: string) => {
      clearTimeout(timer);
      resolve({ ...seen, body: Buffer.concat(chunks).toString('latin1'), end });
    };
    transport.send(
      { ...REQUEST, ...request },
      {
        onHead: (status, headers) => {
          seen.head = { status, headers: { ...headers } };
        },
        onData: (chunk) => chunks.push(chunk),
        onEnd: () => finish('ended'),
        onError: (failure) => finish(failure),
      },
    );
  });
}

/** The other side of a connection: answers the first request with the sample, cut in two. */
function answering({ bytes, closes }: SampleResponse, cut: number): Duplex {
  let asked = false;
  const stream: Duplex = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done();
      if (asked) return;
      asked = true;
      stream.push(bytes.subarray(0, cut));
      setImmediate(() => {
        if (cut < bytes.length) stream.push(bytes.subarray(cut));
        if (closes) stream.push(null);
      });
    },
  });
  // What undici asks of a socket beside what every stream has.
  return Object.assign(stream, { ref: () => stream, unref: () => stream });
}

const ours = (sample: SampleResponse, cut: number) =>
  createHttp1Transport({
    clock: systemClock,
    open: () => {
      const stream = answering(sample, cut);
      setImmediate(() => stream.emit('connect'));
      return stream;
    },
  });

const theirs = (sample: SampleResponse, cut: number) =>
  createUndiciTransport(
    () =>
      new Agent({
        connect: (_options, done) => setImmediate(() => done(null, answering(sample, cut) as Socket)),
        pipelining: 1,
        headersTimeout: 0,
        bodyTimeout: 0,
        allowH2: false,
      }),
  );

/** What we do otherwise on purpose. */
const DIFFERENT: { name: RegExp; why: string; end: string }[] = [
  {
    name: /^continue/,
    why: 'an interim response may come unasked (RFC 9110, 15.2); undici gives up',
    end: 'ended',
  },
  { name: /^another protocol$/, why: 'only HTTP/1 is HTTP/1; undici takes RTSP', end: 'connection-lost' },
  {
    name: /^HTTP\/2 in words$/,
    why: 'only HTTP/1 is HTTP/1; undici takes any version',
    end: 'connection-lost',
  },
];
const differenceOf = ({ name }: SampleResponse) => DIFFERENT.find((difference) => difference.name.test(name));

/** White space around a value is not part of it (RFC 9110, 5.5); undici leaves what follows it. */
function trimmed({ head, ...seen }: Seen): Seen {
  if (head === null) return { head, ...seen };
  const trim = (value: unknown) => (typeof value === 'string' ? value.trimEnd() : value);
  const headers = Object.fromEntries(
    Object.entries(head.headers).map(([name, value]) => [name, trim(value)]),
  );
  return { head: { ...head, headers }, ...seen };
}

describe('our HTTP/1.1 client and undici', () => {
  const corpus = responseCorpus();

  it('have a corpus of at least 300 responses', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(300);
    expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length);
  });

  it.each(
    corpus
      .filter((sample) => differenceOf(sample) === undefined)
      .map((sample) => [sample.name, sample] as const),
  )('give the same for %s, cut anywhere', async (_name, sample) => {
    for (let cut = 1; cut <= sample.bytes.length; cut++) {
      const [a, b] = [ours(sample, cut), theirs(sample, cut)];
      const [mine, other] = await Promise.all([ask(a), ask(b)]);
      await Promise.all([a.close(), b.close()]);
      expect({ cut, ...mine }).toEqual({ cut, ...trimmed(other) });
    }
  });

  it.each(
    corpus.flatMap((sample) => {
      const difference = differenceOf(sample);
      return difference === undefined ? [] : [[sample.name, difference.why, sample, difference.end] as const];
    }),
  )('differ for %s: %s', async (_name, _why, sample, end) => {
    for (let cut = 1; cut <= sample.bytes.length; cut++) {
      const transport = ours(sample, cut);
      expect({ cut, end: (await ask(transport)).end }).toEqual({ cut, end });
      await transport.close();
    }
  });
});
