/**
 * The gateway as the stock Anthropic SDK sees it: answers, streams and their helper, tools, thinking, images, structured
 * output, counting, errors by class, retries, departures. Engines are scripted where bytes must be exact, the simulator and
 * the embedded engine where an engine must work.
 */
import { createHash } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedUnderTest } from '../support/embedded-under-test.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import {
  ANSWER,
  ANSWER_TEXT,
  type Script,
  type ScriptedChat,
  type ScriptedEngine,
  startScriptedEngine,
} from '../support/scripted-engine.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

const messages = [{ role: 'user' as const, content: 'Hi' }];
const ask = { model: 'm', max_tokens: 100, messages };
const KEY = 'sk-right';

let engine: ScriptedEngine;
let gateway: RunningGateway;
let locked: RunningGateway;
let embedded: EmbeddedUnderTest;
let client: Anthropic;

beforeAll(async () => {
  const simulator = await startSimulator(['--model-name', 'sim', '--speed', '20']);
  embedded = await new EmbeddedUnderTest().ready();
  const { data } = (await (await fetch(`${embedded.url}/v1/models`)).json()) as { data: { id: string }[] };
  engine = await startScriptedEngine();
  const { url } = engine;
  const plain = { chatContinuation: false, tokenize: false, lenientFields: false };
  const demo = poolOf(data[0]!.id, [{ url: embedded.url }], ['demo']);
  gateway = await startGateway(
    [
      poolOf('m', [{ url }], ['claude-alias']),
      poolOf('narrow', [{ url, window: 1 }]),
      poolOf('generic', [{ url, capabilities: plain }]),
      poolOf('gone', [{ url, state: 'quarantined' }]),
      poolOf('sim', [{ url: simulator.url }]),
      demo,
    ],
    { bodyBytesMax: 20_000, firstTokenTimeoutMs: 1_500, queueSizeMax: 1, queueTimeoutMs: 1_000 },
  );
  const sha256 = createHash('sha256').update(KEY).digest('hex');
  locked = await startGateway([poolOf('m', [{ url }])], { keys: [{ name: 'me', sha256 }], workers: 1 });
  client = sdk();
});

afterAll(async () => {
  await gateway?.stop();
  await locked?.stop();
  await engine?.close();
  await embedded?.stop();
  await stopSimulators();
});

afterEach(() => {
  engine.base = {};
  engine.next = [];
  engine.seen = [];
});

function sdk(options: ConstructorParameters<typeof Anthropic>[0] = {}, url = gateway.url): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0, ...options });
}

const seenBody = () => engine.seen.at(-1)?.body ?? {};
const play = (chat: ScriptedChat, script: Script = {}) => {
  engine.base = { ...script, chat };
};

async function failure(promise: Promise<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  return await promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof Anthropic.APIError>,
  );
}

const textIn = (message: Anthropic.Message) =>
  message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');

const piece = (index: number, json: string, name?: string) => ({
  tool_calls: [
    {
      index,
      ...(name !== undefined && { id: `toolu_${index}`, type: 'function' }),
      function: { ...(name !== undefined && { name }), arguments: json },
    },
  ],
});

const weather: Anthropic.Tool = {
  name: 'weather',
  description: 'The weather at a place.',
  input_schema: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] },
};

const PARIS: ScriptedChat = {
  deltas: [{ content: 'Let me look.' }, piece(0, '{"place"', 'weather'), piece(0, ':"Par'), piece(0, 'is"}')],
  usage: {
    prompt_tokens: 20,
    completion_tokens: 9,
    total_tokens: 29,
    prompt_tokens_details: { cached_tokens: 16 },
  },
};

const TWO: ScriptedChat = {
  deltas: [
    piece(0, '{"place":', 'weather'),
    piece(1, '{"place":', 'weather'),
    piece(0, '"Paris"}'),
    piece(1, '"Rome"}'),
  ],
};

describe('messages.create', () => {
  it('gives a message with all its fields', async () => {
    const message = await client.messages.create(ask);
    expect(message).toMatchObject({
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [{ type: 'text', text: ANSWER_TEXT, citations: null }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { input_tokens: 3, output_tokens: ANSWER.length, cache_read_input_tokens: 0 },
    });
    expect(message.id).toMatch(/^msg_/);
  });

  it('answers with the request id that finds the request in the log', async () => {
    const { data, request_id, response } = await client.messages.create(ask).withResponse();
    expect(data.type).toBe('message');
    expect(request_id).toBe(response.headers.get('x-request-id'));
    const line = await eventually(() =>
      gateway.log().find((entry) => entry['http.request.id'] === request_id),
    );
    expect(line).toMatchObject({
      'http.route': '/v1/messages',
      'http.response.status_code': 200,
      outcome: 'completed',
      prompt_tokens: 3,
    });
  });

  it('answers under the name that the client used, an alias included', async () => {
    expect((await client.messages.create({ ...ask, model: 'claude-alias' })).model).toBe('claude-alias');
    expect(seenBody().model).toBe('m');
  });

  it('stops at max_tokens and says so', async () => {
    const message = await client.messages.create({ ...ask, max_tokens: 2 });
    expect(message.stop_reason).toBe('max_tokens');
    expect(textIn(message)).toBe(ANSWER.slice(0, 2).join(''));
  });

  it('takes Authorization: Bearer, beta headers and another version without a word', async () => {
    const other = sdk({
      apiKey: null,
      authToken: 'any',
      defaultHeaders: { 'anthropic-beta': 'a-2025-01-01,b-2025-01-01', 'anthropic-version': '2023-06-01' },
    });
    expect(textIn(await other.messages.create(ask))).toBe(ANSWER_TEXT);
  });

  it('serves the beta resource, which sends the same request', async () => {
    const message = await client.beta.messages.create({ ...ask, betas: ['x-2025-01-01'] });
    expect(message.content[0]).toMatchObject({ type: 'text', text: ANSWER_TEXT });
    expect(seenBody()).not.toHaveProperty('betas');
  });

  it('passes fields of engines on, and sampling as it is', async () => {
    const extra = { guided_json: { type: 'object' }, chat_template_kwargs: { a: 1 }, seed: 7 };
    const request = { ...ask, temperature: 0.2, top_p: 0.9, top_k: 5, ...extra };
    await client.messages.create(request);
    expect(seenBody()).toEqual({ ...request, messages });
  });

  it('says how many tokens of the prompt the engine had in its cache', async () => {
    play(PARIS);
    const { usage } = await client.messages.create({ ...ask, tools: [weather] });
    expect(usage).toMatchObject({ input_tokens: 4, cache_read_input_tokens: 16, output_tokens: 9 });
  });
});

describe('system prompts', () => {
  it('may be a string', async () => {
    await client.messages.create({ ...ask, system: 'Be brief.' });
    expect(seenBody().messages).toEqual([{ role: 'system', content: 'Be brief.' }, ...messages]);
  });

  it('may be blocks with cache marks', async () => {
    const cache_control = { type: 'ephemeral' as const };
    await client.messages.create({
      ...ask,
      system: [
        { type: 'text', text: 'A', cache_control },
        { type: 'text', text: 'B' },
      ],
    });
    expect(seenBody().messages).toEqual([{ role: 'system', content: 'A\nB' }, ...messages]);
  });
});

describe('messages.stream', () => {
  it('gives the same message as create', async () => {
    const whole = await client.messages.create(ask);
    const streamed = await client.messages.stream(ask).finalMessage();
    const { id: _a, ...left } = JSON.parse(JSON.stringify(whole)) as Anthropic.Message;
    const { id: _b, parsed_output: _p, ...right } = JSON.parse(JSON.stringify(streamed)) as typeof streamed;
    expect(right).toEqual(left);
  });

  it('tells text as it comes', async () => {
    const stream = client.messages.stream(ask);
    const texts: string[] = [];
    stream.on('text', (text) => texts.push(text));
    expect(await stream.finalText()).toBe(ANSWER_TEXT);
    expect(texts).toEqual(ANSWER);
  });

  it('sends the events in the order of the vendor', async () => {
    const types: string[] = [];
    for await (const event of client.messages.stream(ask)) types.push(event.type);
    expect(types).toEqual([
      'message_start',
      'content_block_start',
      ...ANSWER.map(() => 'content_block_delta'),
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
  });

  it('pings after message_start, and names each event in its event line', async () => {
    const response = await client.messages.create({ ...ask, stream: true }).asResponse();
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    const raw = await response.text();
    expect(raw).toMatch(
      /^event: message_start\ndata: \{"type":"message_start"[^\n]*\n\nevent: ping\ndata: \{"type":"ping"\}\n\n/,
    );
    expect(raw.trimEnd()).toMatch(/event: message_stop\ndata: \{"type":"message_stop"\}$/);
    expect(raw).not.toContain('[DONE]');
  });

  it('says the size of the prompt at once where the engine does, and at the end elsewhere', async () => {
    const usage = { prompt_tokens: 30, completion_tokens: 1, total_tokens: 31 };
    const startOf = async () => {
      for await (const event of client.messages.stream(ask))
        if (event.type === 'message_start') return event.message.usage.input_tokens;
      return -1;
    };
    play({ deltas: [{ content: 'A' }], usage, continuousUsage: true });
    expect(await startOf()).toBe(30);
    play({ deltas: [{ content: 'A' }], usage });
    expect(await startOf()).toBe(0);
    expect((await client.messages.stream(ask).finalMessage()).usage.input_tokens).toBe(30);
  });

  it('turns signs of life of the engine into pings', async () => {
    play({ deltas: [{ content: 'A' }], comments: ['keep-alive'] });
    const raw = await (await client.messages.create({ ...ask, stream: true }).asResponse()).text();
    expect(raw).not.toContain(': keep-alive');
    expect(raw.match(/event: ping/g)).toHaveLength(2);
    expect(await client.messages.stream(ask).finalText()).toBe('A');
  });

  it('holds a fast engine back for a slow reader, and loses nothing', async () => {
    const answer = Array.from({ length: 3_000 }, (_, index) => `${'x'.repeat(1_000)}${index}`);
    engine.base = { chat: { deltas: answer.map((content) => ({ content })) } };
    const stream = client.messages.stream(ask);
    let text = '';
    let reads = 0;
    for await (const event of stream) {
      if (event.type !== 'content_block_delta' || event.delta.type !== 'text_delta') continue;
      text += event.delta.text;
      if (++reads % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(text).toBe(answer.join(''));
  });
});

describe('stop sequences', () => {
  it('name the one that was met', async () => {
    play({ deltas: [{ content: 'A' }], ending: { stop_reason: 'END' } });
    const request = { ...ask, stop_sequences: ['END', 'no'] };
    const expected = { stop_reason: 'stop_sequence', stop_sequence: 'END' };
    expect(await client.messages.create(request)).toMatchObject(expected);
    expect(await client.messages.stream(request).finalMessage()).toMatchObject(expected);
    expect(seenBody().stop).toEqual(['END', 'no']);
  });

  it('work on the simulator', async () => {
    const request = { model: 'sim', max_tokens: 60, temperature: 0, messages };
    const whole = textIn(await client.messages.create(request));
    const word = whole.split(' ').find((part) => part.length > 3 && whole.indexOf(part) > 10)!;
    const stopped = await client.messages.create({ ...request, stop_sequences: [word] });
    expect(stopped).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: word });
    expect(textIn(stopped)).toBe(whole.slice(0, whole.indexOf(word)));
  });
});

describe('tools', () => {
  it('are described to the engine', async () => {
    await client.messages.create({ ...ask, tools: [weather], tool_choice: { type: 'any' } });
    expect(seenBody()).toMatchObject({
      tools: [
        {
          type: 'function',
          function: { name: 'weather', description: weather.description, parameters: weather.input_schema },
        },
      ],
      tool_choice: 'required',
    });
  });

  it('are called in a whole answer', async () => {
    play(PARIS);
    const message = await client.messages.create({ ...ask, tools: [weather] });
    expect(message.stop_reason).toBe('tool_use');
    expect(message.content).toMatchObject([
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', id: 'toolu_0', name: 'weather', input: { place: 'Paris' } },
    ]);
  });

  it('are called in a stream, their input as it is written', async () => {
    play(PARIS);
    const stream = client.messages.stream({ ...ask, tools: [weather] });
    const pieces: string[] = [];
    stream.on('inputJson', (json) => pieces.push(json));
    const message = await stream.finalMessage();
    expect(pieces).toEqual(['{"place"', ':"Par', 'is"}']);
    expect(message.content[1]).toMatchObject({ type: 'tool_use', input: { place: 'Paris' } });
    expect(message.stop_reason).toBe('tool_use');
  });

  it('are called in parallel, also when their pieces are mixed', async () => {
    play(TWO);
    const message = await client.messages.stream({ ...ask, tools: [weather] }).finalMessage();
    expect(message.content).toMatchObject([
      { type: 'tool_use', id: 'toolu_0', input: { place: 'Paris' } },
      { type: 'tool_use', id: 'toolu_1', input: { place: 'Rome' } },
    ]);
  });

  it('may be limited to one at a time', async () => {
    await client.messages.create({
      ...ask,
      tools: [weather],
      tool_choice: { type: 'tool', name: 'weather', disable_parallel_tool_use: true },
    });
    expect(seenBody()).toMatchObject({
      tool_choice: { type: 'function', function: { name: 'weather' } },
      parallel_tool_calls: false,
    });
  });

  it('give results back, and the conversation goes on', async () => {
    play(PARIS);
    const first = await client.messages.create({ ...ask, tools: [weather] });
    engine.base = {};
    const turns: Anthropic.MessageParam[] = [
      ...messages,
      { role: 'assistant', content: first.content as Anthropic.ContentBlockParam[] },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'toolu_0', content: 'no station', is_error: true },
          { type: 'text', text: 'Try again.' },
        ],
      },
    ];
    expect(textIn(await client.messages.create({ ...ask, tools: [weather], messages: turns }))).toBe(
      ANSWER_TEXT,
    );
    expect((seenBody().messages as unknown[]).slice(1)).toEqual([
      {
        role: 'assistant',
        content: 'Let me look.',
        tool_calls: [
          { id: 'toolu_0', type: 'function', function: { name: 'weather', arguments: '{"place":"Paris"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'toolu_0', content: 'Error: no station' },
      { role: 'user', content: 'Try again.' },
    ]);
  });

  it('that run at the vendor are refused by name', async () => {
    const tools = [{ type: 'web_search_20250305' as const, name: 'web_search' as const }];
    const error = await failure(client.messages.create({ ...ask, tools }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.message).toContain('web_search_20250305');
    expect(engine.seen).toEqual([]);
  });

  it('whose arguments are no JSON end with an error, whole or streamed', async () => {
    play({ deltas: [piece(0, '{"place":', 'weather')] });
    const whole = await failure(client.messages.create({ ...ask, tools: [weather] }));
    expect(whole).toMatchObject({ status: 502, type: 'api_error' });
    const streamed = await failure(client.messages.stream({ ...ask, tools: [weather] }).finalMessage());
    expect(streamed.type).toBe('api_error');
    await eventually(() => gateway.log().filter((line) => line.error_code === 'engine_failed').length >= 2);
  });
});

describe('thinking', () => {
  const thought: ScriptedChat = {
    deltas: [{ reasoning_content: 'Hm' }, { reasoning_content: 'm.' }, { content: 'Yes.' }],
  };
  const thinking = { type: 'enabled' as const, budget_tokens: 1024 };

  it('comes in blocks before the text, whole', async () => {
    play(thought);
    const message = await client.messages.create({ ...ask, thinking });
    expect(message.content).toMatchObject([
      { type: 'thinking', thinking: 'Hmm.', signature: '' },
      { type: 'text', text: 'Yes.' },
    ]);
    expect(seenBody().chat_template_kwargs).toEqual({ enable_thinking: true, thinking: true });
  });

  it('comes in blocks before the text, streamed', async () => {
    play(thought);
    const stream = client.messages.stream({ ...ask, thinking });
    const heard: string[] = [];
    stream.on('thinking', (text) => heard.push(text));
    stream.on('signature', (signature) => heard.push(`signed ${signature}`));
    expect((await stream.finalMessage()).content).toMatchObject([
      { type: 'thinking', thinking: 'Hmm.', signature: '' },
      { type: 'text', text: 'Yes.' },
    ]);
    expect(heard).toEqual(['Hm', 'm.', 'signed ']);
  });

  it('is not shown to a client that wants none', async () => {
    play(thought);
    const message = await client.messages.stream({ ...ask, thinking: { type: 'disabled' } }).finalMessage();
    expect(message.content).toMatchObject([{ type: 'text', text: 'Yes.' }]);
  });

  it('goes back to the engine in the next turn', async () => {
    const content = [
      { type: 'thinking' as const, thinking: 'Hmm.', signature: 's' },
      { type: 'text' as const, text: 'Yes.' },
    ];
    await client.messages.create({
      ...ask,
      messages: [...messages, { role: 'assistant', content }, { role: 'user', content: 'Why?' }],
    });
    expect((seenBody().messages as unknown[])[1]).toEqual({
      role: 'assistant',
      content: 'Yes.',
      reasoning: 'Hmm.',
      reasoning_content: 'Hmm.',
    });
  });
});

describe('what is not text', () => {
  it('reaches the engine as image parts', async () => {
    await client.messages.create({
      ...ask,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
            { type: 'image', source: { type: 'url', url: 'https://example.org/a.png' } },
            { type: 'text', text: 'What is it?' },
          ],
        },
      ],
    });
    expect(seenBody().messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          { type: 'image_url', image_url: { url: 'https://example.org/a.png' } },
          { type: 'text', text: 'What is it?' },
        ],
      },
    ]);
  });

  it('is refused by an engine that takes text only, with the word of the engine', async () => {
    const image = { type: 'image' as const, source: { type: 'url' as const, url: 'https://x/y.png' } };
    const error = await failure(
      client.messages.create({ ...ask, model: 'sim', messages: [{ role: 'user', content: [image] }] }),
    );
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain('the model takes text only');
  });
});

describe('structured output', () => {
  const schema = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  };

  it('is parsed by the helper of the SDK, on the simulator', async () => {
    const message = await client.messages.parse({
      model: 'sim',
      max_tokens: 200,
      temperature: 0,
      messages,
      output_config: { format: { type: 'json_schema', schema } },
    });
    expect(typeof (message.parsed_output as unknown as { ok: boolean }).ok).toBe('boolean');
  });
});

describe('an assistant message at the end', () => {
  it('is gone on with by engines that can', async () => {
    const started = [...messages, { role: 'assistant' as const, content: ANSWER.slice(0, 3).join('') }];
    const message = await client.messages.create({ ...ask, messages: started });
    expect(textIn(message)).toBe(ANSWER.slice(3).join(''));
  });

  it('is refused where the engine can not', async () => {
    const started = [...messages, { role: 'assistant' as const, content: 'The' }];
    const error = await failure(client.messages.create({ ...ask, model: 'generic', messages: started }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(engine.seen).toEqual([]);
  });
});

describe('messages.countTokens', () => {
  it('asks the tokenizer of the engine', async () => {
    expect(await client.messages.countTokens({ model: 'm', messages, system: 'S' })).toEqual({
      input_tokens: 3,
    });
    expect(engine.seen.at(-1)).toMatchObject({
      path: '/tokenize',
      body: {
        model: 'm',
        messages: [{ role: 'system', content: 'S' }, ...messages],
        add_generation_prompt: true,
      },
    });
  });

  it.each(['sim', 'demo'])('counts what a message then costs: %s', async (model) => {
    const prompt = { model, messages, system: 'Be brief.' };
    const { input_tokens } = await client.messages.countTokens(prompt);
    const { usage } = await client.messages.create({ ...prompt, max_tokens: 1 });
    expect(input_tokens).toBeGreaterThan(3);
    expect(usage.input_tokens + (usage.cache_read_input_tokens ?? 0)).toBe(input_tokens);
  });

  it('is refused with 501, and not guessed, where the engine can not count', async () => {
    const error = await failure(client.messages.countTokens({ model: 'generic', messages }));
    expect(error).toBeInstanceOf(Anthropic.NotImplementedError);
    expect(error.type).toBe('api_error');
    expect(error.headers?.get('x-should-retry')).toBe('false');
  });

  it('says what is wrong with a prompt', async () => {
    const error = await failure(client.messages.countTokens({ model: 'm', messages: [] }));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
  });
});

describe('the embedded engine', () => {
  it('answers, and streams the same', async () => {
    const request = {
      model: 'demo',
      max_tokens: 120,
      temperature: 0,
      messages: [{ role: 'user' as const, content: 'What does HTTP 429 mean?' }],
    };
    const whole = await client.messages.create(request);
    expect(textIn(whole).length).toBeGreaterThan(20);
    const stream = client.messages.stream(request);
    const events: Anthropic.MessageStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    expect(textIn(await stream.finalMessage())).toBe(textIn(whole));
    expect(events[0]).toMatchObject({
      type: 'message_start',
      message: { usage: { input_tokens: whole.usage.input_tokens } },
    });
  });
});

describe('errors', () => {
  it('400 for a request that is not one', async () => {
    const error = await failure(client.messages.create({ ...ask, max_tokens: 0 }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.type).toBe('invalid_request_error');
    expect(error.apiMessage).toMatch(/^max_tokens: expected/);
    expect(error.requestID).toMatch(/./);
    expect(error.error).toMatchObject({ type: 'error', request_id: error.requestID });
  });

  it('400 for nesting that nobody can write again, anywhere in the request', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const input = `{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":${deep}}}]}`;
    for (const extra of [`"guided_json":${deep}`, `"messages":[${input}]`]) {
      for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
        const body = `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],${extra}}`;
        const response = await fetch(locked.url + path, {
          method: 'POST',
          body,
          headers: { 'x-api-key': KEY },
        });
        expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
        expect(response.status).toBe(400);
      }
    }
  });

  it('400 of the engine, with its own words', async () => {
    engine.base = {
      status: 400,
      body: '{"error":{"message":"too long","type":"BadRequestError","code":400}}',
    };
    const error = await failure(client.messages.create(ask));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.apiMessage).toBe('too long');
  });

  it('401 without the right key, by either header', async () => {
    for (const options of [{ apiKey: 'sk-wrong' }, { apiKey: null, authToken: 'sk-wrong' }]) {
      const error = await failure(sdk(options, locked.url).messages.create(ask));
      expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
      expect(error.type).toBe('authentication_error');
    }
    expect(textIn(await sdk({ apiKey: KEY }, locked.url).messages.create(ask))).toBe(ANSWER_TEXT);
    const bearer = sdk({ apiKey: null, authToken: KEY }, locked.url);
    expect((await bearer.messages.countTokens({ model: 'm', messages })).input_tokens).toBe(3);
  });

  it('403 for a page of somewhere else', async () => {
    const page = sdk({ defaultHeaders: { origin: 'https://elsewhere.example' } });
    const error = await failure(page.messages.create(ask));
    expect(error).toBeInstanceOf(Anthropic.PermissionDeniedError);
    expect(error.type).toBe('permission_error');
  });

  it('404 for a model that is not there, and for a path that is not there', async () => {
    const model = await failure(client.messages.create({ ...ask, model: 'nobody' }));
    expect(model).toBeInstanceOf(Anthropic.NotFoundError);
    expect(model.type).toBe('not_found_error');
    const path = await failure(client.messages.batches.create({ requests: [] }));
    expect(path).toMatchObject({ status: 404, type: 'not_found_error' });
  });

  it('405 for a method that is not there', async () => {
    const error = await failure(client.get('/v1/messages'));
    expect(error).toMatchObject({ status: 405, type: 'invalid_request_error' });
  });

  it('413 for a body that is too large', async () => {
    const large = [{ role: 'user' as const, content: 'x'.repeat(30_000) }];
    const error = await failure(client.messages.create({ ...ask, messages: large }));
    expect(error).toBeInstanceOf(Anthropic.ContentTooLargeError);
    expect(error.type).toBe('request_too_large');
  });

  it('429 of the engine', async () => {
    engine.base = { status: 429, headers: { 'retry-after': '9' } };
    const error = await failure(client.messages.create(ask));
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect(error.type).toBe('rate_limit_error');
    expect(error.headers?.get('retry-after')).toBe('9');
  });

  it('500 of the engine', async () => {
    engine.base = { status: 500 };
    const error = await failure(client.messages.create(ask));
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(error).toMatchObject({ status: 500, type: 'api_error' });
  });

  it('502 when the engine dies before it answers', async () => {
    engine.base = { dieBeforeHead: true };
    const error = await failure(client.messages.create(ask));
    expect(error).toMatchObject({ status: 502, type: 'api_error' });
  });

  it('504 when the engine does not answer in time', async () => {
    engine.base = { hang: true };
    const error = await failure(client.messages.create(ask));
    expect(error).toBeInstanceOf(Anthropic.GatewayTimeoutError);
    expect(error.type).toBe('timeout_error');
  });

  it('529 when no replica is there', async () => {
    const error = await failure(client.messages.create({ ...ask, model: 'gone' }));
    expect(error).toBeInstanceOf(Anthropic.OverloadedError);
    expect(error.type).toBe('overloaded_error');
    expect(error.headers?.get('retry-after')).toMatch(/^\d+$/);
    const counted = await failure(client.messages.countTokens({ model: 'gone', messages }));
    expect(counted).toBeInstanceOf(Anthropic.OverloadedError);
  });

  it('529 when the queue is full, and when the wait in it is too long', async () => {
    engine.base = { hang: true };
    const controller = new AbortController();
    const { signal } = controller;
    const narrow = { ...ask, model: 'narrow' };
    const holder = failure(client.messages.create(narrow, { signal }));
    await eventually(() => engine.seen.length === 1);
    const waiting = failure(client.messages.create(narrow));
    const refused = await failure(
      (async () => {
        // Until the other one stands in the queue this one may wait in its place, and is called off then.
        for (;;) {
          const error = await failure(client.messages.create(narrow, { timeout: 200 }));
          if (!(error instanceof Anthropic.APIConnectionTimeoutError)) throw error;
        }
      })(),
    );
    expect(refused).toBeInstanceOf(Anthropic.OverloadedError);
    expect(await waiting).toBeInstanceOf(Anthropic.OverloadedError);
    controller.abort();
    await holder;
  });

  it('in a stream come as an error event, which the SDK throws, and no message_stop follows', async () => {
    play(PARIS, { dieAfter: 3 });
    const sampled = { ...ask, tools: [weather], temperature: 1 };
    const error = await failure(client.messages.stream(sampled).finalMessage());
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error.type).toBe('api_error');
    play(PARIS, { dieAfter: 3 });
    const response = await client.messages.create({ ...sampled, stream: true }).asResponse();
    const raw = await response.text();
    expect(raw).toMatch(
      /event: error\ndata: \{"type":"error","error":\{"type":"api_error",[^\n]*"request_id":"[^"]+"\}\n\n$/,
    );
    expect(raw).not.toMatch(/message_stop|message_delta|\[DONE\]/);
  });

  it('before a stream has begun come with their status', async () => {
    engine.base = { status: 400 };
    const error = await failure(client.messages.stream(ask).finalMessage());
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
  });
});

describe('retries of the SDK', () => {
  it('succeed after an error that goes away', async () => {
    // The gateway tries three times itself; what it gives up on, the SDK sends again.
    engine.next = Array.from({ length: 3 }, () => ({ status: 429, headers: { 'retry-after-ms': '20' } }));
    const message = await sdk({ maxRetries: 2 }).messages.create(ask);
    expect(textIn(message)).toBe(ANSWER_TEXT);
  });

  it('are not made where the gateway says that they would fail again', async () => {
    let sent = 0;
    const counting: typeof fetch = (...args) => {
      sent++;
      return fetch(...args);
    };
    const retrying = sdk({ maxRetries: 3, fetch: counting });
    const error = await failure(retrying.messages.countTokens({ model: 'generic', messages }));
    expect(error.status).toBe(501);
    expect(sent).toBe(1);
  });
});

describe('a client that leaves', () => {
  const ROUNDS = 20;

  function median(values: number[]): number {
    return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  }

  async function leaveOnce(start: (signal: AbortSignal) => Promise<unknown>, begun: () => Promise<void>) {
    const before = engine.seen.length;
    const controller = new AbortController();
    const gone = start(controller.signal).catch(() => {});
    const seen = await eventually(() => engine.seen[before]);
    await begun();
    const leftAtMs = performance.now();
    controller.abort();
    await eventually(() => seen.abortedAtMs !== null);
    await gone;
    return (seen.abortedAtMs as number) - leftAtMs;
  }

  it.each([
    ['a whole answer', false],
    ['a stream', true],
  ] as const)('is noticed by the engine within 10 ms (median) before the head of %s', async (_name, stream) => {
    engine.base = { hang: true };
    const delays: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const start = (signal: AbortSignal) => client.messages.create({ ...ask, stream }, { signal });
      delays.push(await leaveOnce(start, async () => {}));
    }
    expect(median(delays)).toBeLessThan(10);
  });

  it('is noticed by the engine within 10 ms (median) in the body', async () => {
    engine.base = { stallAfter: 2 };
    const delays: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const heard = Promise.withResolvers<void>();
      const start = (signal: AbortSignal) => {
        const stream = client.messages.stream(ask, { signal });
        stream.on('text', (_delta, text) => {
          if (text === ANSWER.slice(0, 2).join('')) heard.resolve();
        });
        return stream.finalMessage();
      };
      delays.push(await leaveOnce(start, () => heard.promise));
    }
    expect(median(delays)).toBeLessThan(10);
  });

  it('by breaking out of its loop is noticed too', async () => {
    engine.base = { stallAfter: 2 };
    for await (const event of await client.messages.create({ ...ask, stream: true }))
      if (event.type === 'content_block_delta') break;
    await eventually(() => engine.seen.at(-1)?.abortedAtMs !== null && engine.inFlight === 0);
  });

  it('while it waits in the queue is never sent to the engine', async () => {
    engine.base = { hang: true };
    const narrow = { ...ask, model: 'narrow' };
    const holder = new AbortController();
    const held = failure(client.messages.create(narrow, { signal: holder.signal }));
    await eventually(() => engine.seen.length === 1);
    const waiting = new AbortController();
    const headers = { 'x-request-id': 'departs' };
    const left = failure(client.messages.create(narrow, { signal: waiting.signal, headers }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    waiting.abort();
    expect(await left).toBeInstanceOf(Anthropic.APIUserAbortError);
    const line = await eventually(() =>
      gateway.log().find((entry) => entry['http.request.id'] === 'departs'),
    );
    expect(line).toMatchObject({ outcome: 'cancelled-by-client', replica: null });
    expect(engine.seen).toHaveLength(1);
    holder.abort();
    await held;
  });
});
