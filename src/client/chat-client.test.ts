import { afterEach, expect, it, vi } from 'vitest';
import { createChatClient } from './chat-client.ts';
import { readEventStream } from './event-stream.ts';

afterEach(() => vi.unstubAllGlobals());

const signal = new AbortController().signal;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function serve(text: string, chunkBytes = 7) {
  const bytes = new TextEncoder().encode(text);
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, index) =>
    bytes.slice(index * chunkBytes, (index + 1) * chunkBytes),
  );
  vi.stubGlobal('fetch', async () => new Response(ReadableStream.from(chunks) as ReadableStream));
}

const client = createChatClient({ url: 'http://127.0.0.1:1', key: undefined });
const stream = () => client.stream('m', [{ role: 'user', content: 'hi' }], signal);

it('reads text and usage from a stream that is cut anywhere, also inside a character', async () => {
  serve(
    'data: {"choices":[{"delta":{"content":"grün"}}]}\r\n\r\n: ping\n\n' +
      'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
    5,
  );
  expect(await collect(stream())).toEqual([
    { type: 'text', text: 'grün' },
    { type: 'usage', promptTokens: 3, completionTokens: 2 },
  ]);
});

it('reads where another replica went on, and why the answer ended', async () => {
  serve(
    'data: {"choices":[{"delta":{"content":"a"}}]}\n\n: x-autoglm-continuation: tier=B gap_ms=12\n\n' +
      'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n',
  );
  expect(await collect(stream())).toEqual([
    { type: 'text', text: 'a' },
    { type: 'continued', tier: 'B', gapMs: 12 },
    { type: 'finish', reason: 'length' },
  ]);
});

it('says what happened when the connection breaks, and which key is wanted', async () => {
  async function* broken() {
    yield new TextEncoder().encode('data: {"choices":[]}\n\n');
    throw new TypeError('terminated');
  }
  vi.stubGlobal('fetch', async () => new Response(ReadableStream.from(broken()) as ReadableStream));
  await expect(collect(stream())).rejects.toMatchObject({
    code: 'stream_interrupted',
    message: 'the connection broke in the middle of the answer',
  });
  const refused = '{"error":{"message":"no","type":"t","param":null,"code":"invalid_api_key"}}';
  vi.stubGlobal('fetch', async () => new Response(refused, { status: 401 }));
  await expect(client.listModels(signal)).rejects.toThrow('--key or AUTOGLM_KEY');
});

it.each([
  ['a page', 200, '<html>'],
  ['other JSON', 200, '{"hello":1}'],
  ['nothing', 200, 'null'],
  ['a refusal of its own', 404, 'not here'],
  ['our own admin port', 404, '{"error":{"message":"there is nothing","code":"not_found"}}'],
])('recognises a stranger that answers with %s', async (_name, status, text) => {
  vi.stubGlobal('fetch', async () => new Response(text, { status }));
  await expect(client.listModels(signal)).rejects.toThrow(
    `what answers at http://127.0.0.1:1 is not an OpenAI-compatible gateway (HTTP ${status})`,
  );
});

it('reports an error inside the stream, and a stream without an end', async () => {
  serve('data: {"error":{"message":"gone","type":"t","param":null,"code":"engine_failed"}}\n\n');
  await expect(collect(stream())).rejects.toMatchObject({ code: 'engine_failed', message: 'gone' });
  serve('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
  await expect(collect(stream())).rejects.toMatchObject({ code: 'stream_interrupted' });
});

it('says how to start what does not answer', async () => {
  vi.stubGlobal('fetch', async () => {
    throw new TypeError('fetch failed');
  });
  await expect(client.listModels(signal)).rejects.toMatchObject({ code: 'not_running' });
});

it('joins the data lines of one event', async () => {
  const bytes = [new TextEncoder().encode('event: x\ndata: a\ndata:b\n\ndata: c\n\ndata: never ended')];
  const parts = await collect(readEventStream(ReadableStream.from(bytes)));
  expect(parts.map(({ text }) => text)).toEqual(['a\nb', 'c']);
});
