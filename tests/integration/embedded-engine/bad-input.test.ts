/** What the embedded engine refuses, and how. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedUnderTest } from '../../support/embedded-under-test.ts';

const CHAT = '/v1/chat/completions';
const TEXT = '/v1/completions';
const ask = (content: string) => [{ role: 'user', content }];

let engine: EmbeddedUnderTest;
beforeAll(async () => {
  // No variable for the thread pool: the process must set its own.
  engine = await new EmbeddedUnderTest([], { UV_THREADPOOL_SIZE: '4' }).ready();
});
afterAll(() => engine.stop());

describe('bad input', () => {
  const message = ask('x');
  const cases: [
    name: string,
    path: string,
    body: unknown,
    status: number,
    says: RegExp,
    param?: string | null,
  ][] = [
    ['invalid JSON', CHAT, '{"messages": [', 400, /not valid JSON/],
    ['an empty body', CHAT, '', 400, /empty/],
    ['JSON that is no object', CHAT, '[1]', 400, /array/],
    ['no messages', CHAT, {}, 400, /messages: found nothing/, 'messages'],
    ['messages of a wrong type', CHAT, { messages: 'hi' }, 400, /messages: found "hi"/, 'messages'],
    [
      'an unknown role',
      CHAT,
      { messages: [{ role: 'robot', content: 'x' }] },
      400,
      /one of system/,
      'messages[0].role',
    ],
    ['an image', CHAT, { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 400, /text only/],
    ['an unknown model', CHAT, { model: 'gpt', messages: message }, 404, /inference-ops-demo/, 'model'],
    [
      'negative max_tokens',
      CHAT,
      { messages: message, max_tokens: -1 },
      400,
      /max_tokens: found -1/,
      'max_tokens',
    ],
    ['fractional max_tokens', TEXT, { prompt: 'x', max_tokens: 1.5 }, 400, /found 1.5/, 'max_tokens'],
    [
      'a temperature as text',
      CHAT,
      { messages: message, temperature: 'hot' },
      400,
      /found "hot"/,
      'temperature',
    ],
    ['top_p of 0', CHAT, { messages: message, top_p: 0 }, 400, /top_p: found 0/, 'top_p'],
    ['too many stops', CHAT, { messages: message, stop: Array(17).fill('a') }, 400, /at most 16/, 'stop'],
    ['an empty stop', CHAT, { messages: message, stop: [''] }, 400, /stop\[0\]/, 'stop[0]'],
    ['n of 17', CHAT, { messages: message, n: 17 }, 400, /at most 16/, 'n'],
    [
      'top_logprobs alone',
      CHAT,
      { messages: message, top_logprobs: 2 },
      400,
      /logprobs true/,
      'top_logprobs',
    ],
    ['ids outside the vocabulary', TEXT, { prompt: [1, 99_999] }, 400, /0 to 2047/, 'prompt[1]'],
    ['negative ids', '/detokenize', { tokens: [-1] }, 400, /0 to 2047/, 'tokens[0]'],
    ['bias outside the vocabulary', CHAT, { messages: message, logit_bias: { 99999: 1 } }, 400, /logit_bias/],
    [
      'a prompt longer than the context',
      TEXT,
      { prompt: Array(2048).fill(5) },
      400,
      /2048 tokens.*2048/,
      'prompt',
    ],
    [
      'a message longer than the context',
      CHAT,
      { messages: ask('word '.repeat(5000)) },
      400,
      /has \d+ tokens.*2048/,
      'messages',
    ],
    [
      'megabytes of text',
      CHAT,
      { messages: ask('a'.repeat(4_000_000)) },
      400,
      /at least 62500 tokens/,
      'messages',
    ],
    [
      'max_tokens beyond the room',
      CHAT,
      { messages: message, max_tokens: 4096 },
      400,
      /4096.*2048/,
      'max_tokens',
    ],
    [
      'both continue and generation prompt',
      CHAT,
      { messages: message, continue_final_message: true },
      400,
      /add_generation_prompt/,
    ],
    [
      'an unknown response format',
      CHAT,
      { messages: message, response_format: { type: 'xml' } },
      400,
      /json_schema/,
    ],
    ['a schema that is no schema', CHAT, { messages: message, guided_json: '{' }, 400, /guided_json/],
    [
      'an unknown type in a schema',
      CHAT,
      { messages: message, guided_json: { type: 'nonsense' } },
      400,
      /schema/i,
    ],
    [
      'dimensions that do not fit',
      '/v1/embeddings',
      { input: 'x', dimensions: 100_000 },
      400,
      /192/,
      'dimensions',
    ],
    ['an empty input', '/v1/embeddings', { input: [] }, 400, /input/, 'input'],
  ];

  it.each(cases)('answers %s with the error object', async (_name, path, body, status, says, param) => {
    for (const stream of path.startsWith('/v1/c') && typeof body === 'object' ? [false, true] : [undefined]) {
      const sent = stream === undefined ? body : { ...(body as object), stream };
      const response = await engine.post(path, sent);
      const { error } = (await response.json()) as { error: Record<string, unknown> };
      expect(response.status).toBe(status);
      expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
      expect(error.message).toMatch(says);
      if (param !== undefined) expect(error.param).toBe(param);
    }
    expect(engine.alive).toBe(true);
  });

  it('answers unknown paths and wrong methods', async () => {
    expect((await fetch(`${engine.url}/nothing`)).status).toBe(404);
    const wrong = await fetch(`${engine.url}${CHAT}`);
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('refuses a body beyond 8 MiB and stays up', async () => {
    const response = await engine
      .post(CHAT, JSON.stringify({ messages: ask('a'.repeat(9 * 1024 * 1024)) }))
      .catch(() => null);
    expect([413, undefined]).toContain(response?.status);
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);
  });
});
