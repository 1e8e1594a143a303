/**
 * Goal: a client of the gateway cannot tell by which protocol a Triton is spoken to. Method: the whole system with pretend
 * Tritons that it starts itself, once for each protocol; the same requests by the OpenAI SDK, by plain HTTP where the SDK would
 * hide something, and with replicas that die in the middle.
 */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENGINE_PROTOCOLS, type EngineProtocol } from '../../src/contract/fleet.ts';
import { killQuietly, type SystemUnderTest, startSystem } from '../support/system-under-test.ts';
import { tritonPool } from '../support/triton-under-test.ts';

const CHAT = [
  { role: 'system' as const, content: 'You are brief.' },
  { role: 'user' as const, content: 'Tell me a story. 🙂' },
];
/** Tokens come every 2 ms or so: slow enough to be killed between two, fast enough to be waited for. */
const FAST = ['--speed', '3'];
/** The model ends by itself after some tokens; this makes it go on. */
const LONG = { min_tokens: 60, max_tokens: 60, temperature: 0 };

describe.each(ENGINE_PROTOCOLS)('Triton over %s', (protocol: EngineProtocol) => {
  const kserve = protocol !== 'openai';
  let system: SystemUnderTest;
  let client: OpenAI;

  beforeAll(async () => {
    const chatTemplate = kserve ? 'chatml' : undefined;
    system = await startSystem({
      models: [
        tritonPool({
          name: 'text',
          protocol,
          replicas: 2,
          chatTemplate,
          args: ['--max-model-len', '4096', ...FAST],
        }),
        ...(kserve
          ? [
              tritonPool({
                name: 'trt',
                protocol,
                backend: 'tensorrtllm' as const,
                chatTemplate,
                args: FAST,
              }),
              tritonPool({ name: 'plain', protocol, backend: 'python' as const }),
              tritonPool({ name: 'vectors', protocol, backend: 'embedding' as const }),
            ]
          : []),
      ],
      supervisor: { restarts_max: 20, backoff_initial_ms: 50 },
    });
    client = new OpenAI({ baseURL: system.v1(), apiKey: 'none', maxRetries: 0 });
  });
  afterAll(() => system?.stop());

  const textModels = kserve ? ['text', 'trt'] : ['text'];

  it('is ready by the whole ladder', async () => {
    const { pools } = await system.status();
    expect(pools.map(({ ready, total }) => [ready, total])).toEqual(pools.map(({ total }) => [total, total]));
    for (const { replicas } of pools)
      for (const replica of replicas) expect(replica).toMatchObject({ engine: 'triton', state: 'ready' });
  });

  it.each(textModels)('gives the same completion whole and streamed (%s)', async (model) => {
    const request = { model, prompt: 'Once upon a time', ...LONG };
    const whole = await client.completions.create(request);
    expect(whole).toMatchObject({ object: 'text_completion', model });
    expect(whole.choices[0]?.finish_reason).toBe('length');
    expect(whole.usage?.completion_tokens).toBe(60);
    const events = await client.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    let finish: string | null = null;
    let count = 0;
    for await (const event of events) {
      count++;
      text += event.choices[0]?.text ?? '';
      finish = event.choices[0]?.finish_reason ?? finish;
      usage = event.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.text);
    expect(finish).toBe('length');
    expect(usage).toEqual(whole.usage);
    expect(count).toBeGreaterThan(20);
  });

  it.each(textModels)('gives the same chat whole and streamed (%s)', async (model) => {
    const request = { model, messages: CHAT, ...LONG };
    const whole = await client.chat.completions.create(request);
    expect(whole.choices[0]?.message).toMatchObject({ role: 'assistant' });
    let text = '';
    const roles: unknown[] = [];
    for await (const event of await client.chat.completions.create({ ...request, stream: true })) {
      text += event.choices[0]?.delta.content ?? '';
      if (event.choices[0]?.delta.role !== undefined) roles.push(event.choices[0].delta.role);
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(text.length).toBeGreaterThan(50);
    expect(roles).toEqual(['assistant']);
  });

  it('ends at a stop string, and before a limit says "stop"', async () => {
    const long = await client.completions.create({ model: 'text', prompt: 'Once', ...LONG });
    const text = long.choices[0]?.text ?? '';
    const stop = text.slice(30, 36);
    const ended = await client.completions.create({
      model: 'text',
      prompt: 'Once',
      ...LONG,
      min_tokens: 0,
      stop,
    } as never);
    expect((ended as OpenAI.Completion).choices[0]).toMatchObject({
      text: text.slice(0, text.indexOf(stop)),
      finish_reason: 'stop',
    });
  });

  it('tells the caller of a prompt that is too long, and holds it against no replica', async () => {
    for (const stream of [false, true]) {
      const error = await client.completions
        .create({ model: 'text', prompt: 'many words '.repeat(4_000), max_tokens: 4, stream })
        .catch((thrown: unknown) => thrown);
      expect(error, `stream ${stream}`).toBeInstanceOf(OpenAI.BadRequestError);
      if (kserve) expect(error).toMatchObject({ code: 'context_length_exceeded' });
    }
    const { pools } = await system.status();
    expect(pools[0]?.replicas.map(({ restarts, state }) => [restarts, state])).toEqual([
      [0, 'ready'],
      [0, 'ready'],
    ]);
  });

  it('ends with [DONE], once', async () => {
    const answer = await fetch(`${system.v1()}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'text', messages: CHAT, max_tokens: 5, stream: true }),
    });
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const text = await answer.text();
    expect(text.match(/data: \[DONE\]/g)).toHaveLength(1);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  /** Streams, kills the replica that writes after some events, and gives what the client saw. */
  async function killed(path: 'chat/completions' | 'completions', body: object) {
    const answer = await fetch(`${system.v1()}/${path}`, {
      method: 'POST',
      body: JSON.stringify({ stream: true, ...body }),
    });
    const victim = answer.headers.get('x-autoglm-replica');
    let text = '';
    let dead = false;
    for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString('utf8');
      if (dead || text.split('\n\n').length < 12) continue;
      dead = true;
      const { pools } = await system.status();
      killQuietly(pools[0]?.replicas.find(({ id }) => id === victim)?.pid ?? 0);
    }
    const events = text
      .split('\n\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice(6)) as Record<string, never>);
    const said = events
      .flatMap(
        (event) =>
          (event.choices as unknown as { text?: string; delta?: { content?: string } }[] | undefined) ?? [],
      )
      .map((choice) => choice.text ?? choice.delta?.content ?? '')
      .join('');
    await system.until(({ pools }) => pools[0]?.ready === 2, 30_000);
    return {
      said,
      dead,
      tier: /x-autoglm-continuation: tier=(\w)/.exec(text)?.[1],
      done: text.includes('data: [DONE]'),
      error: events.find((event) => event.error !== undefined)?.error as { code: string } | undefined,
    };
  }

  /**
   * Without a tokenizer what was delivered is counted by events, and one event may hold the tokens of one character: the
   * continuation may then be some tokens longer than the limit. No character differs, none is lost or doubled.
   */
  function expectSame(said: string, calm: string): void {
    expect(said.slice(0, calm.length)).toBe(calm);
    expect(said.length - calm.length).toBeLessThan(calm.length / 2);
  }

  const SLOW = { min_tokens: 150, max_tokens: 150, temperature: 0 };

  it('goes on with a completion whose replica is killed, as text (tier B)', async () => {
    const request = { model: 'text', prompt: 'Once upon a time', ...SLOW };
    const calm = await client.completions.create(request);
    const hit = await killed('completions', request);
    expect(hit).toMatchObject({ dead: true, tier: 'B', done: true, error: undefined });
    expectSame(hit.said, calm.choices[0]?.text ?? '');
  });

  it('goes on with a chat whose replica is killed, by the tier that the protocol allows', async () => {
    const request = { model: 'text', messages: CHAT, ...SLOW };
    const calm = await client.chat.completions.create(request);
    const hit = await killed('chat/completions', request);
    expect(hit).toMatchObject({ dead: true, tier: kserve ? 'B' : 'C', done: true, error: undefined });
    expectSame(hit.said, calm.choices[0]?.message.content ?? '');
  });

  it('ends with a typed error what cannot be continued', async () => {
    // Sampled, and beginning with the prompt: neither text nor a replay would be exact.
    const hit = await killed('completions', {
      model: 'text',
      prompt: 'Once',
      ...SLOW,
      temperature: 1,
      echo: true,
    });
    expect(hit).toMatchObject({ dead: true, done: false, error: { code: 'stream_interrupted' } });
    expect(hit.said.startsWith('Once')).toBe(true);
  });

  it('frees the slot of an engine whose client left', async () => {
    const controller = new AbortController();
    const answer = await fetch(`${system.v1()}/completions`, {
      method: 'POST',
      body: JSON.stringify({
        model: 'text',
        prompt: 'Once',
        min_tokens: 3_000,
        max_tokens: 3_000,
        stream: true,
      }),
      signal: controller.signal,
    });
    await answer.body?.getReader().read();
    controller.abort();
    await system.until(({ pools }) => pools[0]?.replicas.every(({ inFlight }) => inFlight === 0) === true);
  });

  it('serves clients of the other dialects with the same text', async () => {
    const ask = async (path: string, body: object) => {
      const answer = await fetch(`${system.v1()}${path}`, { method: 'POST', body: JSON.stringify(body) });
      expect(answer.status, path).toBe(200);
      return answer.text();
    };
    const messages = [{ role: 'user' as const, content: 'Tell me a story.' }];
    const chat = await client.chat.completions.create({
      model: 'text',
      messages,
      max_tokens: 20,
      temperature: 0,
    });
    const expected = chat.choices[0]?.message.content;
    const request = { model: 'text', messages, max_tokens: 20, temperature: 0 };
    expect(JSON.parse(await ask('/messages', request))).toMatchObject({
      content: [{ type: 'text', text: expected }],
      usage: { output_tokens: chat.usage?.completion_tokens },
    });
    const events = [...(await ask('/messages', { ...request, stream: true })).matchAll(/^data: (.*)$/gm)]
      .map(([, data]) => JSON.parse(data as string) as { type: string; delta?: { text?: string } })
      .filter(({ type }) => type === 'content_block_delta');
    expect(events.map(({ delta }) => delta?.text).join('')).toBe(expected);
    const response = { model: 'text', input: 'Tell me a story.', max_output_tokens: 20, temperature: 0 };
    expect(JSON.parse(await ask('/responses', response))).toMatchObject({
      output: [{ type: 'message', content: [{ type: 'output_text', text: expected }] }],
    });
  });

  it('says what it does not have without asking', async () => {
    const answer = await fetch(`${system.v1()}/rerank`, {
      method: 'POST',
      body: JSON.stringify({ model: 'text', query: 'a', documents: ['b'] }),
    });
    expect(answer.status).toBe(501);
    expect(await answer.text()).toContain('runs on triton, which has no /v1/rerank');
  });

  describe.runIf(kserve)('as tensors', () => {
    it('makes vectors, as numbers and as base64, one per input', async () => {
      const input = ['first text', 'second text', 'first text'];
      const floats = await client.embeddings.create({ model: 'vectors', input, encoding_format: 'float' });
      expect(floats.data.map(({ index }) => index)).toEqual([0, 1, 2]);
      expect(floats.data[0]?.embedding).toHaveLength(64);
      expect(floats.data[2]?.embedding).toEqual(floats.data[0]?.embedding);
      expect(floats.data[1]?.embedding).not.toEqual(floats.data[0]?.embedding);
      // The SDK asks for base64 by itself and decodes it.
      const decoded = await client.embeddings.create({ model: 'vectors', input });
      const [given, wanted] = [decoded.data[1]?.embedding ?? [], floats.data[1]?.embedding ?? []];
      for (const [index, value] of given.entries()) expect(value).toBeCloseTo(wanted[index] as number, 6);
      // The vLLM backend gives a vector as JSON.
      const asJson = await client.embeddings.create({
        model: 'text',
        input: 'first text',
        encoding_format: 'float',
      });
      for (const [index, value] of (asJson.data[0]?.embedding ?? []).entries())
        expect(value).toBeCloseTo(floats.data[0]?.embedding[index] as number, 5);
      expect(asJson.usage.prompt_tokens).toBeGreaterThan(0);
    });

    it('serves a model that sends one answer, streamed too', async () => {
      const request = { model: 'plain', prompt: 'Once', max_tokens: 12 };
      const whole = await client.completions.create(request);
      let text = '';
      for await (const event of await client.completions.create({ ...request, stream: true }))
        text += event.choices[0]?.text ?? '';
      expect(text).toBe(whole.choices[0]?.text);
      expect(whole.usage).toBeUndefined();
    });

    it.each([
      ['a chat without a template', 'plain', { messages: CHAT }, /chat_template/],
      ['tools', 'text', { messages: CHAT, tools: [{ type: 'function', function: { name: 'f' } }] }, /tools/],
      ['several answers', 'text', { messages: CHAT, n: 2 }, /^400 n:/],
      [
        'a picture',
        'text',
        { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }] },
        /text only/,
      ],
      [
        'a setting of the wrong type',
        'text',
        { messages: CHAT, temperature: 'hot' },
        /temperature: found "hot"/,
      ],
      ['text of a model of vectors', 'vectors', { messages: CHAT }, /vectors/],
    ])('refuses %s, with a reason', async (_what, model, request, reason) => {
      const error = await client.chat.completions
        .create({ model, ...request } as never)
        .catch((thrown) => thrown);
      expect(error).toBeInstanceOf(OpenAI.APIError);
      expect([400, 501]).toContain((error as InstanceType<typeof OpenAI.APIError>).status);
      expect((error as Error).message).toMatch(reason);
    });
  });
});
