/**
 * Goal: whatever one replica does to an attempt, the client gets the whole answer as long as another replica can give it.
 * Method: a real gateway process between a client and scripted engines that die, stall, refuse and lie at exact places.
 */
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import {
  ANSWER,
  ANSWER_TEXT,
  type Script,
  type ScriptedEngine,
  startScriptedEngine,
} from '../support/scripted-engine.ts';

let bad: ScriptedEngine;
let good: ScriptedEngine;
let gateway: RunningGateway;

beforeAll(async () => {
  bad = await startScriptedEngine();
  good = await startScriptedEngine();
  gateway = await startGateway(
    [
      poolOf('pair', [{ url: bad.url }, { url: good.url }]),
      // vLLM-like: stop strings are held back by characters, so a text seam may lie inside a token.
      poolOf('by-chars', [
        { url: bad.url, capabilities: { wholeTokenEvents: false } },
        { url: good.url, capabilities: { wholeTokenEvents: false } },
      ]),
      poolOf('plain', [
        {
          url: bad.url,
          capabilities: {
            tokenReplay: false,
            chatContinuation: false,
            tokenize: false,
            determinism: 'greedy',
          },
        },
        {
          url: good.url,
          capabilities: {
            tokenReplay: false,
            chatContinuation: false,
            tokenize: false,
            determinism: 'greedy',
          },
        },
      ]),
    ],
    { firstTokenTimeoutMs: 400, stallTimeoutMs: 400 },
  );
});

afterAll(async () => {
  await gateway.stop();
  await bad.close();
  await good.close();
});

afterEach(() => {
  for (const engine of [bad, good]) {
    engine.next = [];
    engine.base = {};
    engine.seen = [];
  }
});

interface Answer {
  status: number;
  text: string;
  events: Record<string, unknown>[];
  raw: string;
  done: boolean;
  headers: Headers;
}

/** A request that is sure to start on the engine that misbehaves: the other one is busy answering nobody, so both are tried. */
async function ask(body: Record<string, unknown>, path = '/chat/completions'): Promise<Answer> {
  const full: Record<string, unknown> =
    path === '/chat/completions'
      ? { messages: [{ role: 'user', content: 'Hi' }], temperature: 0, ...body }
      : { prompt: 'P', temperature: 0, ...body };
  const response = await fetch(`${gateway.v1}${path}`, {
    method: 'POST',
    body: JSON.stringify({ model: 'pair', ...full }),
  });
  const raw = await response.text();
  if (full.stream !== true)
    return { status: response.status, text: '', events: [], raw, done: false, headers: response.headers };
  const data = raw
    .split('\n\n')
    .filter((block) => block.startsWith('data: '))
    .map((block) => block.slice(6));
  const events = data
    .filter((item) => item !== '[DONE]')
    .map((item) => JSON.parse(item) as Record<string, unknown>);
  const text = events.map((event) => textOf(event)).join('');
  return {
    status: response.status,
    text,
    events,
    raw,
    done: data.at(-1) === '[DONE]',
    headers: response.headers,
  };
}

function textOf(event: Record<string, unknown>): string {
  const [choice] = (event.choices ?? []) as { text?: string; delta?: { content?: string } }[];
  return choice?.text ?? choice?.delta?.content ?? '';
}

/** Both engines follow the script once, so whichever is asked first misbehaves; the second request of either is answered. */
async function withFirst(
  script: Script,
  run: () => Promise<Answer>,
): Promise<{ answer: Answer; second: Record<string, unknown>; secondPath: string }> {
  bad.next = [script];
  good.next = [];
  // Ties turn in rotation: ask until the misbehaving engine was the first.
  for (let turn = 0; turn < 8; turn++) {
    bad.seen = [];
    good.seen = [];
    const answer = await run();
    if (bad.next.length === 0) {
      const inference = good.seen.filter(({ path }) => path.startsWith('/v1/'));
      return { answer, second: inference.at(-1)?.body ?? {}, secondPath: inference.at(-1)?.path ?? '' };
    }
  }
  throw new Error('the misbehaving engine was never asked');
}

describe('before the first content token', () => {
  it.each([
    ['the connection is cut before the head', { dieBeforeHead: true }],
    ['the connection is cut after the role event', { dieAfterRole: true }],
    ['the engine answers 500', { status: 500 }],
    ['the engine answers 503', { status: 503 }],
    ['the engine answers 424, as text-generation-inference does', { status: 424 }],
    ['the engine never answers', { hang: true }],
    ['the answer is empty', { emptyBody: true }],
    ['the stream ends before any content', { endAfter: 0 }],
    ['the stream begins with an error event', { errorEventAfter: 0 }],
  ] satisfies [string, Script][])('another replica answers the stream when %s', async (_name, script) => {
    const { answer } = await withFirst(script, () => ask({ stream: true }));
    expect(answer).toMatchObject({ status: 200, text: ANSWER_TEXT, done: true });
    // The preamble of the failed attempt is not heard twice.
    expect(answer.raw.match(/"role"/g)).toHaveLength(1);
    expect(answer.headers.get('x-autoglm-attempts')).toBe('2');
  });

  it.each([
    ['the connection is cut', { dieBeforeHead: true }],
    ['the engine answers 500', { status: 500 }],
    ['the answer is empty', { emptyBody: true }],
  ] satisfies [string, Script][])('another replica gives the whole answer when %s', async (_name, script) => {
    const { answer } = await withFirst(script, () => ask({}));
    expect(answer.status).toBe(200);
    expect(answer.raw).toContain(JSON.stringify(ANSWER_TEXT).slice(1, -1));
  });

  it('passes the error of the engine on when every attempt failed', async () => {
    bad.base = { status: 503, headers: { 'retry-after': '7' } };
    good.base = { status: 503, headers: { 'retry-after': '7' } };
    const answer = await ask({ stream: true });
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('7');
    expect(bad.seen.length + good.seen.length).toBe(3);
  });

  it('says 504 when no engine answers in time', async () => {
    bad.base = { hang: true };
    good.base = { hang: true };
    const answer = await ask({});
    expect(answer.status).toBe(504);
    expect(JSON.parse(answer.raw)).toMatchObject({ error: { code: 'upstream_timeout' } });
  });
});

/** What is no answer, however well it is transported. */
const RUBBISH: [string, Script][] = [
  ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>hi</html>' }],
  ['status 204', { status: 204, body: '' }],
  ['a redirection', { status: 302, body: '' }],
  ['status 999', { status: 999, body: 'hi' }],
  ['a compressed body', { status: 200, headers: { 'content-encoding': 'gzip' }, body: '{}' }],
];
const STREAMED_RUBBISH: [string, Script][] = [
  ['[DONE] alone', { chunks: ['data: [DONE]\n\n'] }],
  [
    'a role and [DONE]',
    { chunks: ['data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\ndata: [DONE]\n\n'] },
  ],
  ['text that is no JSON', { chunks: ['data: {not json}\n\n', 'data: [DONE]\n\n'] }],
  ['null', { chunks: ['data: null\n\ndata: 5\n\n', 'data: [DONE]\n\n'] }],
  ['a compressed stream', { chunks: ['data: {"choices":[]}\n\n'], headers: { 'content-encoding': 'br' } }],
];

describe('what is no answer', () => {
  it.each(RUBBISH)('is not taken for one: %s', async (_name, script) => {
    const { answer } = await withFirst(script, () => ask({}));
    expect(answer.status).toBe(200);
    expect(answer.raw).toContain(JSON.stringify(ANSWER_TEXT).slice(1, -1));
  });

  it.each([...RUBBISH, ...STREAMED_RUBBISH])('is not taken for a stream: %s', async (_name, script) => {
    const { answer } = await withFirst(script, () => ask({ stream: true }));
    expect(answer).toMatchObject({ status: 200, text: ANSWER_TEXT, done: true });
    expect(answer.headers.get('x-autoglm-attempts')).toBe('2');
  });

  it.each([
    ...RUBBISH,
    ['an error page', { status: 500, headers: { 'content-type': 'text/html' }, body: '<html>oops' }],
  ] satisfies [
    string,
    Script,
  ][])('becomes a typed error where there is nothing else: %s', async (_name, script) => {
    bad.base = script;
    good.base = script;
    const answer = await ask({});
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.raw)).toMatchObject({ error: { code: 'engine_failed' } });
  });

  it.each(
    STREAMED_RUBBISH,
  )('becomes a typed error of a stream where there is nothing else: %s', async (_name, script) => {
    bad.base = script;
    good.base = script;
    for (const path of ['/chat/completions', '/messages', '/responses']) {
      const content =
        path === '/responses'
          ? { input: 'Hi' }
          : { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 5 };
      const response = await fetch(`${gateway.v1}${path}`, {
        method: 'POST',
        body: JSON.stringify({ model: 'pair', stream: true, ...content }),
      });
      expect([path, response.status]).toEqual([path, 502]);
      expect(await response.json()).toMatchObject({
        error: { message: expect.stringContaining('attempts failed') },
      });
    }
  });

  it.each([
    ['an error page', { status: 500, headers: { 'content-type': 'text/html' }, body: '<html>oops' }, 502],
    ['bytes', { status: 400, body: '\u0000\u0001' }, 400],
    ['an object without an error', { status: 429, body: '{}' }, 429],
  ] satisfies [
    string,
    Script,
    number,
  ][])('is a typed error of the Responses API when an engine refuses with %s', async (_name, script, status) => {
    bad.base = script;
    good.base = script;
    const response = await fetch(`${gateway.v1}/responses`, {
      method: 'POST',
      body: JSON.stringify({ model: 'pair', input: 'Hi' }),
    });
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect(error).toEqual({
      message: expect.stringMatching(/./),
      type: expect.stringMatching(/_error$/),
      param: null,
      code: expect.anything(),
    });
  });
});

describe('after the first content token', () => {
  const cuts = ANSWER.map((_, index) => index).slice(1);

  it.each(
    cuts,
  )('a chat stream cut after %i tokens goes on by tier B, with nothing lost or repeated', async (cut) => {
    const { answer, second } = await withFirst({ dieAfter: cut }, () => ask({ stream: true }));
    expect(answer).toMatchObject({ status: 200, text: ANSWER_TEXT, done: true });
    expect(second).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
    expect(answer.raw).toContain(': x-autoglm-continuation: tier=B');
    const ids = new Set(answer.events.map((event) => event.id));
    expect(ids.size).toBe(1);
    expect(new Set(answer.events.map((event) => event.created)).size).toBe(1);
  });

  it.each(cuts)('a text stream cut after %i tokens goes on inside its prompt', async (cut) => {
    const { answer, second } = await withFirst({ dieAfter: cut }, () =>
      ask({ stream: true }, '/completions'),
    );
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(second.prompt).toBe(`P${ANSWER.slice(0, cut).join('')}`);
  });

  it.each([
    1,
    5,
    ANSWER.length,
  ])('tier A goes on by token ids when the client asked for them (cut after %i)', async (cut) => {
    const { answer, second, secondPath } = await withFirst({ dieAfter: cut }, () =>
      ask({ stream: true, return_token_ids: true }),
    );
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(secondPath).toBe('/v1/completions');
    expect(second.prompt).toHaveLength(3 + cut);
    expect(answer.events.every((event) => event.object === 'chat.completion.chunk')).toBe(true);
    const ids = answer.events.flatMap(
      (event) => (event.choices as { token_ids?: number[] }[])[0]?.token_ids ?? [],
    );
    expect(ids).toEqual(ANSWER.map((_, index) => 100 + index));
  });

  it('counts usage once: the prompt of the client, and all that was delivered', async () => {
    const { answer } = await withFirst({ dieAfter: 4 }, () =>
      ask({ stream: true, stream_options: { include_usage: true } }),
    );
    const usages = answer.events.filter((event) => event.usage);
    expect(usages).toHaveLength(1);
    expect(usages[0]?.usage).toEqual({
      prompt_tokens: 3,
      completion_tokens: ANSWER.length,
      total_tokens: 3 + ANSWER.length,
    });
  });

  it('tells a bad request from a failure where text-generation-inference says 422 of both', async () => {
    const tgiError = (message: string) => ({ message, http_status_code: 422 });
    const failed = tgiError('Request failed during generation: Server error: CUDA error');
    const { answer } = await withFirst({ errorEventAfter: 3, errorEvent: failed }, () =>
      ask({ stream: true }),
    );
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    const refused = tgiError('Input validation error: `inputs` must have less than 4095 tokens. Given: 9000');
    const second = await withFirst({ errorEventAfter: 0, errorEvent: refused }, () => ask({ stream: true }));
    expect(second.answer.events.at(-1)).toEqual({ error: refused });
    expect(good.seen).toEqual([]);
  });

  it('sends no usage event that was not asked for', async () => {
    const { answer } = await withFirst({ dieAfter: 4 }, () => ask({ stream: true }));
    expect(answer.events.some((event) => event.usage)).toBe(false);
  });

  it('takes what was delivered off max_tokens', async () => {
    const { answer, second } = await withFirst({ dieAfter: 4 }, () => ask({ stream: true, max_tokens: 6 }));
    expect(answer.text).toBe(ANSWER.slice(0, 6).join(''));
    expect(second.max_tokens).toBe(2);
    expect(answer.raw).toContain('"finish_reason":"length"');
  });

  it('needs no engine when only the end was missing', async () => {
    const { answer } = await withFirst({ dieAfter: 6 }, () => ask({ stream: true, max_tokens: 6 }));
    expect(answer).toMatchObject({ text: ANSWER.slice(0, 6).join(''), done: true });
    expect(answer.raw.match(/"finish_reason":"length"/g)).toHaveLength(1);
  });

  it.each([
    ['the stream stalls', { stallAfter: 3 }],
    ['the stream ends without a finish', { endAfter: 3 }],
    ['the engine reports an error inside the stream', { errorEventAfter: 3 }],
  ] satisfies [string, Script][])('goes on when %s', async (_name, script) => {
    const { answer } = await withFirst(script, () => ask({ stream: true }));
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(answer.raw).not.toContain('EngineCore');
  });

  it('goes on when the error travels in one packet with a token', async () => {
    const { answer } = await withFirst({ errorEventAfter: 3, errorWithToken: true }, () =>
      ask({ stream: true }),
    );
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(answer.raw).not.toContain('EngineCore');
  });

  it('takes text that ends in [DONE] for text', async () => {
    const tricky = ['the', ' stream', ' ends', ' with [DONE]', ' and', ' more'];
    bad.base = { answer: tricky, paceMs: 2 };
    good.base = { answer: tricky, paceMs: 2 };
    expect(await ask({ stream: true })).toMatchObject({ text: tricky.join(''), done: true });
  });

  it('counts usage that came in a read of its own', async () => {
    bad.base = { pauseBeforeDoneMs: 20 };
    good.base = { pauseBeforeDoneMs: 20 };
    const answer = await ask({ stream: true, stream_options: { include_usage: true } });
    const id = answer.headers.get('x-request-id');
    const line = await eventually(() => gateway.log().find((entry) => entry['http.request.id'] === id));
    expect(line).toMatchObject({ prompt_tokens: 3, completion_tokens: ANSWER.length });
  });

  it('replays structured output from the start and leaves out what was sent (tier C)', async () => {
    const { answer, second } = await withFirst({ dieAfter: 5 }, () =>
      ask({ stream: true, response_format: { type: 'json_object' } }),
    );
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(second.messages).toHaveLength(1);
    expect(answer.raw).toContain('tier=C');
  });

  it('replays where stop strings may have cut inside a token', async () => {
    const { answer } = await withFirst({ dieAfter: 5 }, () =>
      ask({ model: 'by-chars', stream: true, stop: ['never'] }),
    );
    expect(answer.text).toBe(ANSWER_TEXT);
    expect(answer.raw).toContain('tier=C');
  });

  it('uses a full replay on engines that can neither continue nor tokenize', async () => {
    const { answer } = await withFirst({ dieAfter: 5 }, () => ask({ model: 'plain', stream: true }));
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(answer.raw).toContain('tier=C');
  });

  it('falls back to token ids when the chat continuation is refused', async () => {
    good.base = { refusePath: '/v1/chat/completions' };
    const { answer, secondPath } = await withFirst({ dieAfter: 5 }, () =>
      ask({ stream: true }).then((first) => first),
    );
    expect(secondPath).toBe('/v1/completions');
    expect(answer).toMatchObject({ text: ANSWER_TEXT, done: true });
    expect(answer.raw).toContain('tier=A');
  });

  it('stops at a stop string that lies across the seam', async () => {
    // Delivered: "... more\nEND"; the stop string goes on in the part that the second replica generates.
    const { answer } = await withFirst({ dieAfter: 7 }, () => ask({ stream: true, stop: ['END of'] }));
    expect(answer.text).toBe(ANSWER.slice(0, 7).join(''));
    expect(answer.done).toBe(true);
    expect(answer.raw).toContain('"finish_reason":"stop"');
  });

  it('ends with a typed error and no [DONE] when the replay diverges (tier D)', async () => {
    good.base = { answer: ['Another', ' answer'] };
    const { answer } = await withFirst({ dieAfter: 5 }, () =>
      ask({ stream: true, response_format: { type: 'json_object' } }),
    );
    expect(answer.done).toBe(false);
    expect(answer.text).toBe(ANSWER.slice(0, 5).join(''));
    expect(answer.events.at(-1)).toMatchObject({
      error: { code: 'stream_interrupted' },
      usage: { completion_tokens: 5 },
    });
  });

  it('ends sampled tool calls with a typed error, which the SDK throws', async () => {
    bad.base = { dieAfter: 3 };
    good.base = { dieAfter: 3 };
    const client = new OpenAI({ baseURL: gateway.v1, apiKey: 'none', maxRetries: 0 });
    const stream = await client.chat.completions.create({
      model: 'pair',
      messages: [{ role: 'user', content: 'Hi' }],
      temperature: 1,
      stream: true,
      tools: [{ type: 'function', function: { name: 'f', parameters: {} } }],
    });
    const read = async () => {
      for await (const _chunk of stream);
    };
    await expect(read()).rejects.toThrow(/failed in the middle of the stream/);
  });

  it('survives a second death on the way', async () => {
    bad.base = { dieAfter: 2 };
    good.base = { dieAfter: 3 };
    const answer = await ask({ stream: true });
    // Five tokens at most can be had from three attempts of two or three tokens each: the rest is a typed error.
    expect(ANSWER_TEXT.startsWith(answer.text)).toBe(true);
    expect(answer.text.length).toBeGreaterThan(ANSWER.slice(0, 5).join('').length);
    expect(answer.events.at(-1)).toMatchObject({ error: { code: 'stream_interrupted' } });
  });

  it('says in the log what it did', async () => {
    const { answer } = await withFirst({ dieAfter: 3 }, () => ask({ stream: true }));
    const id = answer.headers.get('x-request-id');
    const line = await eventually(() => gateway.log().find((entry) => entry['http.request.id'] === id));
    expect(line).toMatchObject({ outcome: 'completed', continuations: 1, tier: 'B', attempts: 2 });
    expect(line.gap_ms).toBeLessThan(1000);
  });
});
