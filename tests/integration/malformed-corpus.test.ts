/**
 * T21 and T22 of the reliability plan: whatever bytes a client or an engine sends, the gateway neither crashes nor answers
 * with 5xx to what is valid and odd; it refuses what is broken with the right 4xx, before it has buffered more than its limit.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { engineStreams, jsonBodies, type RawMessage, rawHttpMessages } from '../support/malformed-corpus.ts';
import { type OpenAiFixture, startOpenAiFixture } from '../support/openai-fixture.ts';
import { type RawAnswer, sendRaw } from '../support/raw-http.ts';

let fixture: OpenAiFixture;

beforeAll(async () => {
  fixture = await startOpenAiFixture({ bodyBytesMax: 8 * 1024 * 1024 });
});

afterAll(() => fixture.stop());

/** After each corpus: the same process, still serving, and no request that ended by a bug. */
afterEach(async () => {
  fixture.reset();
  expect(fixture.gateway.process.exitCode).toBeNull();
  expect((await fetch(`${fixture.gateway.v1}/models`)).status).toBe(200);
  const bugs = fixture.gateway
    .log()
    .filter((line) => line.outcome === 'failed-internal' || line['error.stack_trace']);
  expect(bugs).toEqual([]);
});

/** Runs all of them, a few at a time. */
async function pooled<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await run(items[at] as T);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return results;
}

describe('T21: raw HTTP messages', () => {
  const messages = rawHttpMessages();

  function isRight({ verdict }: RawMessage, { status, closed }: RawAnswer): boolean {
    if (status !== null && status >= 500 && status !== 505) return false;
    if (verdict === 'valid') return status === 200;
    return verdict === 'either' || (status === null ? closed : status >= 400);
  }

  it(`are at least 300, and each ends as it must (${messages.length})`, async () => {
    expect(messages.length).toBeGreaterThanOrEqual(300);
    const answers = await pooled(messages, ({ bytes }) => sendRaw(fixture.gateway.port, bytes));
    const wrong = messages
      .map((message, at) => ({ message, answer: answers[at] as RawAnswer }))
      .filter(({ message, answer }) => !isRight(message, answer))
      .map(({ message, answer }) => `${message.name} -> ${answer.status} (${message.verdict})`);
    expect(wrong).toEqual([]);
  });

  it('that are refused are refused in the shape of OpenAI errors', async () => {
    const refused = messages.filter(({ verdict }) => verdict === 'refused');
    const answers = await pooled(refused, ({ bytes }) => sendRaw(fixture.gateway.port, bytes));
    const bodies = answers
      .filter(({ status }) => status !== null)
      .map(({ text }) => text.slice(text.lastIndexOf('\r\n\r\n') + 4));
    expect(bodies.length).toBeGreaterThan(60);
    for (const body of bodies) {
      expect(Object.keys((JSON.parse(body) as { error: object }).error).sort()).toEqual([
        'code',
        'message',
        'param',
        'type',
      ]);
    }
  });
});

describe('T21: JSON bodies', () => {
  const bodies = jsonBodies();

  it(`are at least 500, and none gets 5xx, but for what the engine can not do (${bodies.length})`, async () => {
    expect(bodies.length).toBeGreaterThanOrEqual(500);
    const answers = await pooled(bodies, async ({ body }) => {
      const answer = await fetch(`${fixture.gateway.v1}/chat/completions`, { method: 'POST', body });
      return { status: answer.status, text: await answer.text() };
    });
    const wrong = bodies
      .map(({ name, verdict }, at) => ({
        name,
        verdict,
        ...(answers[at] as { status: number; text: string }),
      }))
      .filter(({ verdict, status }) =>
        verdict === 'refused' ? status !== 400 : !(status < 500 || status === 501),
      )
      .map(({ name, status, text }) => `${name} -> ${status} ${text.slice(0, 100)}`);
    expect(wrong).toEqual([]);
    const refusals = answers.filter((_, at) => bodies[at]?.verdict === 'refused');
    expect(new Set(refusals.map(({ text }) => JSON.parse(text).error.code))).toEqual(
      new Set(['invalid_json']),
    );
  });
});

describe('T21: event streams of engines', () => {
  const streams = engineStreams();
  const body = JSON.stringify({ model: 'script', stream: true, messages: [{ role: 'user', content: 'hi' }] });
  const ask = async () => {
    const answer = await fetch(`${fixture.gateway.v1}/chat/completions`, { method: 'POST', body });
    return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
  };

  it(`are at least 200; valid ones arrive byte for byte (${streams.length})`, async () => {
    expect(streams.length).toBeGreaterThanOrEqual(200);
    const wrong: string[] = [];
    for (const { name, chunks } of streams.filter(({ verdict }) => verdict === 'valid')) {
      fixture.engine.next = [{ chunks }];
      const { bytes } = await ask();
      if (!bytes.equals(Buffer.concat(chunks)) && !name.startsWith('one final')) wrong.push(name);
    }
    expect(wrong).toEqual([]);
  });

  it('that are broken end with [DONE], an error event or an error status, never as if they were whole', async () => {
    for (const { name, chunks } of streams.filter(({ verdict }) => verdict === 'broken')) {
      fixture.engine.base = { chunks };
      const { status, bytes } = await ask();
      const text = bytes.toString('utf8');
      const ended =
        status !== 200 ||
        text.includes('[DONE]') ||
        text.includes('"error"') ||
        text.includes('event: error');
      expect([name, ended]).toEqual([name, true]);
      expect([name, status]).not.toEqual([name, 500]);
    }
  });
});

describe('T22: body bombs', () => {
  /** Resident memory of the gateway, MB. */
  const residentMb = () =>
    Number(
      /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${fixture.gateway.process.pid}/status`, 'utf8'))?.[1],
    ) / 1024;

  const HEAD = 'POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n';

  /** Sends chunks for as long as they are taken; the answer, how much had left by then, and the most memory seen. */
  function bombard(
    head: string,
    chunk: Buffer,
    bytesMax: number,
  ): Promise<{ status: number; sent: number; peakMb: number }> {
    return new Promise((resolve) => {
      const socket = connect(fixture.gateway.port, '127.0.0.1');
      let text = '';
      let sent = 0;
      let peakMb = 0;
      const done = () =>
        resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), sent, peakMb });
      const pump = () => {
        while (sent < bytesMax && !socket.destroyed) {
          sent += chunk.length;
          peakMb = Math.max(peakMb, residentMb());
          if (!socket.write(chunk)) return void socket.once('drain', pump);
        }
      };
      socket.on('data', (data) => {
        text += data.toString('latin1');
      });
      socket.on('error', () => {});
      socket.on('close', done);
      socket.write(head);
      pump();
    });
  }

  const part = Buffer.alloc(65_536, 0x20);
  const asChunk = Buffer.concat([Buffer.from('10000\r\n'), part, Buffer.from('\r\n')]);
  const MIB = 1024 * 1024;

  it.each([
    ['33 MiB that are announced', `${HEAD}Content-Length: ${33 * MIB}\r\n\r\n`, part, 33 * MIB],
    ['33 MiB in chunks', `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, asChunk, 33 * MIB],
    ['chunks without an end', `${HEAD}Transfer-Encoding: chunked\r\n\r\n`, asChunk, 1024 * MIB],
  ])('%s are refused with 413, and cost at most 64 MB', async (_name, head, chunk, bytesMax) => {
    const beforeMb = residentMb();
    const { status, sent, peakMb } = await bombard(head, chunk, bytesMax);
    expect(status).toBe(413);
    expect(sent).toBeLessThan(128 * MIB);
    expect(peakMb - beforeMb).toBeLessThan(64);
  });

  it('a bomb in gzip is not unpacked: 415', async () => {
    const packed = gzipSync(Buffer.alloc(10 * MIB, 0x20));
    expect(packed.length).toBeLessThan(11 * 1024);
    const beforeMb = residentMb();
    const answer = await fetch(`${fixture.gateway.v1}/chat/completions`, {
      method: 'POST',
      body: packed,
      headers: { 'content-encoding': 'gzip' },
    });
    expect(answer.status).toBe(415);
    expect(residentMb() - beforeMb).toBeLessThan(64);
  });

  it.each([
    ['2,000 headers', Array.from({ length: 2000 }, (_, at) => `X-Header-${at}: ${at}\r\n`).join('')],
    ['a header of 16 KiB', `X-Big: ${'x'.repeat(16_384)}\r\n`],
  ])('%s are refused with 431', async (_name, headers) => {
    const { status } = await sendRaw(
      fixture.gateway.port,
      Buffer.from(`${HEAD}${headers}Content-Length: 2\r\n\r\n{}`),
    );
    expect(status).toBe(431);
  });

  it.each([
    [
      '10,000 tools',
      {
        tools: Array.from({ length: 10_000 }, (_, at) => ({
          type: 'function',
          function: { name: `f${at}` },
        })),
      },
    ],
    [
      '10,000 messages',
      { messages: Array.from({ length: 10_000 }, () => ({ role: 'user', content: 'hello there' })) },
    ],
  ])('%s are refused with 400 by our engines', async (_name, fields) => {
    const beforeMb = residentMb();
    const answer = await fetch(`${fixture.gateway.v1}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'sim', messages: [{ role: 'user', content: 'hi' }], ...fields }),
    });
    expect(answer.status).toBe(400);
    expect(residentMb() - beforeMb).toBeLessThan(64);
  });
});
