/**
 * Goal: the load client tells each way in which an answer can fail from the others, because the fault tests rest on it.
 * Method: a server that misbehaves on purpose, one way per path.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadOptions, type RequestRecord, runLoad } from '../../bench/load-client.ts';

const chunk = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ delta: { content }, finish_reason: finish, token_ids: [content.length] }] })}\n\n`;
const usage = `data: ${JSON.stringify({ choices: [], usage: { completion_tokens: 7 } })}\n\n`;

function stream(response: ServerResponse, ...parts: string[]): ServerResponse {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const part of parts) response.write(part);
  return response;
}

const behaviours: Record<string, (response: ServerResponse) => void> = {
  '/good': (r) => stream(r, chunk('he'), chunk('llo', 'stop'), usage, 'data: [DONE]\n\n').end(),
  '/no-done': (r) => stream(r, chunk('he'), chunk('llo', 'stop')).end(),
  '/no-finish': (r) => stream(r, chunk('he'), 'data: [DONE]\n\n').end(),
  '/error-event': (r) => stream(r, chunk('he'), 'data: {"error":{"message":"engine died"}}\n\n').end(),
  '/cut': (r) => {
    stream(r, chunk('he'));
    setTimeout(() => r.destroy(), 20);
  },
  '/silent': (r) => void stream(r, chunk('he')),
  '/busy': (r) => r.writeHead(503, { 'retry-after': '2' }).end('{"error":{"message":"full"}}'),
  '/empty': (r) => r.writeHead(200).end(),
  '/garbage': (r) => stream(r, 'data: {oops\n\n', 'data: [DONE]\n\n').end(),
  '/unary': (r) =>
    r.writeHead(200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        choices: [{ message: { content: 'hi' }, finish_reason: 'length' }],
        usage: { completion_tokens: 1 },
      }),
    ),
};

let server: Server;
let origin: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    request.on('end', () => behaviours[request.url ?? '']?.(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function one(path: string, options: Partial<LoadOptions> = {}): Promise<RequestRecord> {
  const result = await runLoad({
    url: origin + path,
    requests: 1,
    concurrency: 1,
    stream: true,
    body: () => ({ model: 'm' }),
    ...options,
  });
  return result.records[0] as RequestRecord;
}

describe('runLoad', () => {
  it('records text, tokens, ids, finish reason and usage of a good stream', async () => {
    const record = await one('/good');
    expect(record).toMatchObject({
      status: 200,
      text: 'hello',
      tokens: 7,
      tokenIds: [2, 3],
      events: 2,
      finishReason: 'stop',
      error: null,
    });
    expect(record.ttftMs).toBeGreaterThan(0);
  });

  it.each([
    ['/no-done', 'stream-truncated'],
    ['/no-finish', 'stream-truncated'],
    ['/error-event', 'stream-error'],
    ['/cut', 'connection-lost'],
    ['/silent', 'timeout'],
    ['/busy', 'http-503'],
    ['/empty', 'empty-answer'],
    ['/garbage', 'invalid-answer'],
  ])('classifies %s as %s', async (path, expected) => {
    const record = await one(path, { requestTimeoutMs: 300 });
    expect(record.error?.class).toBe(expected);
  });

  it('reads a unary answer', async () => {
    expect(await one('/unary', { stream: false })).toMatchObject({
      text: 'hi',
      finishReason: 'length',
      tokens: 1,
    });
  });

  it('classifies a refused connection as connect-failed', async () => {
    const record = await one('', { url: 'http://127.0.0.1:1/none' });
    expect(record.error?.class).toBe('connect-failed');
  });

  it('records what is in flight as aborted when the signal fires, and starts nothing more', async () => {
    const controller = new AbortController();
    const result = await runLoad({
      url: `${origin}/silent`,
      requests: 10,
      concurrency: 3,
      stream: true,
      body: () => ({}),
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    expect(result.records.map((record) => record.error?.class)).toEqual(['aborted', 'aborted', 'aborted']);
  });

  it('starts nothing more when it is told that it is enough, and reads what is in flight to its end', async () => {
    const enough = new AbortController();
    const result = await runLoad({
      url: `${origin}/good`,
      requests: Number.POSITIVE_INFINITY,
      concurrency: 3,
      stream: true,
      body: () => ({}),
      enough: enough.signal,
      onProgress: (index) => {
        if (index >= 10) enough.abort();
      },
    });
    expect(result.records.length).toBeGreaterThan(10);
    expect(result.records.length).toBeLessThan(20);
    expect(result.records.every((record) => record.text === 'hello')).toBe(true);
  });

  it('sends at the asked rate in the open loop', async () => {
    const result = await runLoad({
      url: `${origin}/unary`,
      requests: 20,
      concurrency: 8,
      stream: false,
      body: () => ({}),
      ratePerSecond: 100,
    });
    expect(result.records.every((record) => record.error === null)).toBe(true);
    const span = (result.records[19]?.startedAtMs ?? 0) - (result.records[0]?.startedAtMs ?? 0);
    expect(span).toBeGreaterThanOrEqual(185);
  });
});
