import { afterEach, expect, it, vi } from 'vitest';
import { createChatClient } from './chat-client.ts';
import { readEventData } from './event-stream.ts';

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
  expect(await collect(readEventData(ReadableStream.from(bytes)))).toEqual(['a\nb', 'c']);
});
