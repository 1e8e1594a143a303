/**
 * The Responses API as the stock client uses it, against real gateway processes: every method, streams and their helper,
 * tools, structured output, conversations, background responses, errors by class, keys, and departures in each phase.
 */
import { createHash } from 'node:crypto';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EmbeddedUnderTest } from '../support/embedded-under-test.ts';
import { eventually, poolOf, type RunningGateway, startGateway } from '../support/gateway-under-test.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine, startScriptedEngine } from '../support/scripted-engine.ts';
import { startSimulator, stopSimulators } from '../support/simulator-under-test.ts';

let engine: ScriptedEngine;
let gateway: RunningGateway;
let client: OpenAI;
/** Another caller of the same gateway. */
let stranger: OpenAI;

const keyOf = (name: string) => ({ name, sha256: createHash('sha256').update(`sk-${name}`).digest('hex') });
const clientOf = (name: string) => new OpenAI({ baseURL: gateway.v1, apiKey: `sk-${name}`, maxRetries: 0 });

beforeAll(async () => {
  engine = await startScriptedEngine();
  gateway = await startGateway(
    [
      poolOf('m', [{ url: engine.url }]),
      poolOf('narrow', [{ url: engine.url, window: 1 }]),
      poolOf('down', [{ url: 'http://127.0.0.1:9', state: 'backing-off' }]),
      poolOf('dead', [{ url: 'http://127.0.0.1:9' }]),
      poolOf('uncounted', [{ url: engine.url, capabilities: { tokenize: false } }]),
    ],
    { keys: [keyOf('ada'), keyOf('bob')], queueSizeMax: 1, queueTimeoutMs: 500 },
  );
  client = clientOf('ada');
  stranger = clientOf('bob');
});

afterAll(async () => {
  await gateway.stop();
  await engine.close();
});

afterEach(async () => {
  await eventually(() => engine.inFlight === 0);
  engine.base = {};
  engine.next = [];
  engine.seen = [];
});

const lastBody = () => engine.seen.filter(({ path }) => path.startsWith('/v1')).at(-1)?.body ?? {};

async function eventsOf(stream: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> {
  const events: ResponseStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
  return events;
}

async function failure(promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  return promise.then(
    () => {
      throw new Error('expected an error');
    },
    (thrown) => thrown as InstanceType<typeof OpenAI.APIError>,
  );
}

async function untilDone(id: string): Promise<Response> {
  for (;;) {
    const response = await client.responses.retrieve(id);
    if (response.status !== 'queued' && response.status !== 'in_progress') return response;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const call = (index: number, fields: Record<string, unknown>) => ({ tool_calls: [{ index, ...fields }] });
/** Two calls whose arguments come in pieces. */
const TWO_CALLS = [
  { content: 'I look.' },
  call(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":' } }),
  call(0, { function: { arguments: '"Paris"}' } }),
  call(1, { id: 'call_b', type: 'function', function: { name: 'weather', arguments: '{"city":' } }),
  call(1, { function: { arguments: '"Rome"}' } }),
];
const WEATHER = {
  type: 'function' as const,
  name: 'weather',
  description: 'Weather of a city',
  strict: true,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

describe('create', () => {
  it('answers a text with a response as the vendor has it', async () => {
    const response = await client.responses.create({ model: 'm', input: 'Hi', metadata: { a: 'b' } });
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      model: 'm',
      output_text: ANSWER_TEXT,
      error: null,
      incomplete_details: null,
      metadata: { a: 'b' },
      store: true,
      background: false,
      tool_choice: 'auto',
      tools: [],
      parallel_tool_calls: true,
      text: { format: { type: 'text' } },
      usage: {
        input_tokens: 3,
        output_tokens: ANSWER.length,
        total_tokens: 3 + ANSWER.length,
        output_tokens_details: { reasoning_tokens: 0 },
      },
    });
    expect(response.id).toMatch(/^resp_[0-9a-f]{32}$/);
    expect(response.output[0]).toMatchObject({ type: 'message', role: 'assistant', status: 'completed' });
  });

  it('hands instructions and roles on as chat messages', async () => {
    await client.responses.create({
      model: 'm',
      instructions: 'Be brief.',
      input: [
        { role: 'developer', content: 'Be kind.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
      ],
    });
    expect(lastBody().messages).toEqual([
      { role: 'system', content: 'Be brief.\n\nBe kind.' },
      { role: 'user', content: 'Hi' },
    ]);
  });

  it('hands sampling, reasoning effort, user and fields it does not know on to the engine', async () => {
    await client.responses.create({
      model: 'm',
      input: 'Hi',
      temperature: 0.5,
      top_p: 0.9,
      user: 'u',
      reasoning: { effort: 'low' },
      chat_template_kwargs: { enable_thinking: false },
      seed: 7,
    } as never);
    expect(lastBody()).toMatchObject({
      temperature: 0.5,
      top_p: 0.9,
      user: 'u',
      reasoning_effort: 'low',
      chat_template_kwargs: { enable_thinking: false },
      seed: 7,
    });
  });

  it('keeps an image as a part of the message', async () => {
    await client.responses.create({
      model: 'm',
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What?' },
            { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'auto' },
          ],
        },
      ],
    });
    expect(lastBody().messages).toMatchObject([
      { content: [{ type: 'text' }, { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }] },
    ]);
  });

  it('says that tokens ran out', async () => {
    const response = await client.responses.create({ model: 'm', input: 'Hi', max_output_tokens: 3 });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output_text: ANSWER.slice(0, 3).join(''),
    });
  });

  it('gives reasoning as an item before the text', async () => {
    engine.next = [{ deltas: [{ reasoning_content: 'Hm.' }, { content: 'Yes.' }] }];
    const response = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(response.output).toMatchObject([
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'Hm.' }], summary: [] },
      { type: 'message', content: [{ type: 'output_text', text: 'Yes.' }] },
    ]);
  });

  it('gives a refusal as a part of the message', async () => {
    engine.next = [{ deltas: [{ refusal: 'No.' }] }];
    const response = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(response.output).toMatchObject([{ content: [{ type: 'refusal', refusal: 'No.' }] }]);
  });

  it('gives parallel calls of tools', async () => {
    engine.next = [{ deltas: TWO_CALLS }];
    const response = await client.responses.create({
      model: 'm',
      input: 'Weather?',
      tools: [WEATHER],
      parallel_tool_calls: true,
    });
    const { type: _type, ...fn } = WEATHER;
    expect(lastBody()).toMatchObject({
      tools: [{ type: 'function', function: fn }],
      parallel_tool_calls: true,
    });
    expect(response.output).toMatchObject([
      { type: 'message' },
      { type: 'function_call', call_id: 'call_a', name: 'weather', arguments: '{"city":"Paris"}' },
      { type: 'function_call', call_id: 'call_b', name: 'weather', arguments: '{"city":"Rome"}' },
    ]);
  });

  it.each([
    ['required', 'required'],
    [
      { type: 'function', name: 'weather' },
      { type: 'function', function: { name: 'weather' } },
    ],
    [{ type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'weather' }] }, 'auto'],
  ])('hands tool_choice %j on', async (tool_choice, expected) => {
    await client.responses.create({
      model: 'm',
      input: 'Weather?',
      tools: [WEATHER, { ...WEATHER, name: 'other' }],
      tool_choice: tool_choice as never,
    });
    expect(lastBody().tool_choice).toEqual(expected);
    if (expected === 'auto') expect(lastBody().tools).toHaveLength(1);
  });

  it('parses structured output with the helper', async () => {
    const Weather = z.object({ city: z.string(), degrees: z.number() });
    engine.next = [{ deltas: [{ content: '{"city":"Paris",' }, { content: '"degrees":21}' }] }];
    const response = await client.responses.parse({
      model: 'm',
      input: 'Weather?',
      text: { format: zodTextFormat(Weather, 'weather') },
    });
    expect(response.output_parsed).toEqual({ city: 'Paris', degrees: 21 });
    expect(lastBody().response_format).toMatchObject({
      type: 'json_schema',
      json_schema: { name: 'weather', strict: true, schema: { type: 'object' } },
    });
  });

  it('asks for a JSON object', async () => {
    await client.responses.create({ model: 'm', input: 'Hi', text: { format: { type: 'json_object' } } });
    expect(lastBody().response_format).toEqual({ type: 'json_object' });
  });

  it('counts input tokens', async () => {
    expect(await client.responses.inputTokens.count({ model: 'm', input: 'Hi' })).toEqual({
      object: 'response.input_tokens',
      input_tokens: 3,
    });
  });

  it('counts input tokens, also on an engine that takes seconds for a long prompt', async () => {
    engine.base = { tokenizeMs: 2_500 };
    expect(await client.responses.inputTokens.count({ model: 'm', input: 'Hi' })).toMatchObject({
      input_tokens: 3,
    });
  });

  it.each([
    ['dead', 502, 'engine_failed'],
    ['down', 503, 'no_replica'],
    ['uncounted', 501, 'not_supported'],
    ['nobody', 404, 'model_not_found'],
  ])('says why input tokens are not counted: %s', async (model, status, code) => {
    const error = await failure(client.responses.inputTokens.count({ model, input: 'Hi' }));
    expect(error).toMatchObject({ status, code });
  });
});

describe('streams', () => {
  it('have the vendor’s sequence of events', async () => {
    const events = await eventsOf(
      await client.responses.create({ model: 'm', input: 'Hi', stream: true, max_output_tokens: 2 }),
    );
    expect(events.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.incomplete',
    ]);
  });

  it('are accumulated by the helper to the whole response', async () => {
    const stream = client.responses.stream({ model: 'm', input: 'Hi' });
    let snapshot = '';
    stream.on('response.output_text.delta', (event) => {
      snapshot = event.snapshot;
    });
    const response = await stream.finalResponse();
    expect(snapshot).toBe(ANSWER_TEXT);
    expect(response).toMatchObject({ status: 'completed', output_text: ANSWER_TEXT });
    expect(response.usage?.output_tokens).toBe(ANSWER.length);
    expect((await client.responses.retrieve(response.id)).output_text).toBe(ANSWER_TEXT);
  });

  it('carry arguments of parallel calls in pieces', async () => {
    engine.next = [{ deltas: TWO_CALLS }];
    const stream = client.responses.stream({ model: 'm', input: 'Weather?', tools: [WEATHER] });
    const pieces: string[] = [];
    stream.on('response.function_call_arguments.delta', ({ delta }) => pieces.push(delta));
    const response = await stream.finalResponse();
    expect(pieces).toEqual(['{"city":', '"Paris"}', '{"city":', '"Rome"}']);
    const calls = response.output.filter((item) => item.type === 'function_call');
    expect(calls.map(({ arguments: text }) => JSON.parse(text))).toEqual([
      { city: 'Paris' },
      { city: 'Rome' },
    ]);
  });

  it('carry reasoning and refusals', async () => {
    engine.next = [{ deltas: [{ reasoning_content: 'H' }, { reasoning_content: 'm.' }, { refusal: 'No.' }] }];
    const events = await eventsOf(await client.responses.create({ model: 'm', input: 'Hi', stream: true }));
    const done = (type: string) => events.find((event) => event.type === type);
    expect(done('response.reasoning_text.done')).toMatchObject({ text: 'Hm.' });
    expect(done('response.refusal.done')).toMatchObject({ refusal: 'No.' });
  });

  it('are parsed by the helper when they are structured', async () => {
    const Weather = z.object({ city: z.string() });
    engine.next = [{ deltas: [{ content: '{"city":' }, { content: '"Paris"}' }] }];
    const stream = client.responses.stream({
      model: 'm',
      input: 'Weather?',
      text: { format: zodTextFormat(Weather, 'weather') },
    });
    expect((await stream.finalResponse()).output_parsed).toEqual({ city: 'Paris' });
  });

  it('that the engine refuses are an error before the first event', async () => {
    engine.next = [
      { status: 400, body: '{"error":{"message":"too long","type":"x","param":null,"code":400}}' },
    ];
    const error = await failure(client.responses.create({ model: 'm', input: 'Hi', stream: true }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.message).toContain('too long');
  });

  it('that the engine breaks off end with response.failed and nothing after', async () => {
    engine.base = { deltas: [{ reasoning_content: 'Hm' }, { content: 'Yes' }], dieAfter: 1 };
    const events = await eventsOf(await client.responses.create({ model: 'm', input: 'Hi', stream: true }));
    const last = events.at(-1);
    expect(last).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error' } },
    });
  });
});

describe('what is kept', () => {
  it('can be retrieved, and deleted once', async () => {
    const { id, output } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect((await client.responses.retrieve(id)).output).toEqual(output);
    await client.responses.delete(id);
    expect(await failure(client.responses.retrieve(id))).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await failure(client.responses.delete(id))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('is nothing with store: false', async () => {
    const response = await client.responses.create({ model: 'm', input: 'Hi', store: false });
    expect(response).toMatchObject({ store: false });
    expect(await failure(client.responses.retrieve(response.id))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('does not exist for another key', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    for (const attempt of [
      () => stranger.responses.retrieve(id),
      () => stranger.responses.delete(id),
      () => stranger.responses.cancel(id),
      () => stranger.responses.inputItems.list(id),
    ])
      expect(await failure(attempt() as Promise<unknown>)).toBeInstanceOf(OpenAI.NotFoundError);
    const error = await failure(
      stranger.responses.create({ model: 'm', input: 'Hi', previous_response_id: id }),
    );
    expect(error).toMatchObject({ status: 400, code: 'previous_response_not_found' });
    expect((await client.responses.retrieve(id)).id).toBe(id);
  });

  it('lists input items of the whole conversation, in pages', async () => {
    const first = await client.responses.create({ model: 'm', input: 'One' });
    const second = await client.responses.create({
      model: 'm',
      input: [
        { role: 'user', content: 'Two' },
        { role: 'user', content: 'Three' },
      ],
      previous_response_id: first.id,
    });
    const read = async (order: 'asc' | 'desc') => {
      const texts: string[] = [];
      for await (const item of client.responses.inputItems.list(second.id, { order, limit: 2 }))
        if (item.type === 'message') texts.push((item.content[0] as { text: string }).text);
      return texts;
    };
    expect(await read('asc')).toEqual(['One', ANSWER_TEXT, 'Two', 'Three']);
    expect(await read('desc')).toEqual(['Three', 'Two', ANSWER_TEXT, 'One']);
  });

  it('is continued by previous_response_id, without the former instructions', async () => {
    const first = await client.responses.create({ model: 'm', input: 'One', instructions: 'Former.' });
    const second = await client.responses.create({
      model: 'm',
      input: 'Two',
      previous_response_id: first.id,
      instructions: 'Present.',
    });
    expect(second.previous_response_id).toBe(first.id);
    await client.responses.create({ model: 'm', input: 'Three', previous_response_id: second.id });
    expect(lastBody().messages).toEqual([
      { role: 'user', content: 'One' },
      { role: 'assistant', content: ANSWER_TEXT },
      { role: 'user', content: 'Two' },
      { role: 'assistant', content: ANSWER_TEXT },
      { role: 'user', content: 'Three' },
    ]);
  });

  it('carries calls of tools and their outputs through a conversation', async () => {
    engine.next = [{ deltas: TWO_CALLS }];
    const first = await client.responses.create({ model: 'm', input: 'Weather?', tools: [WEATHER] });
    await client.responses.create({
      model: 'm',
      previous_response_id: first.id,
      tools: [WEATHER],
      input: [
        { type: 'function_call_output', call_id: 'call_a', output: 'sun' },
        { type: 'function_call_output', call_id: 'call_b', output: 'rain' },
      ],
    });
    expect(lastBody().messages).toMatchObject([
      { role: 'user' },
      {
        role: 'assistant',
        content: 'I look.',
        tool_calls: [
          { id: 'call_a', function: { name: 'weather', arguments: '{"city":"Paris"}' } },
          { id: 'call_b', function: { name: 'weather', arguments: '{"city":"Rome"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'call_a', content: 'sun' },
      { role: 'tool', tool_call_id: 'call_b', content: 'rain' },
    ]);
  });

  it('can be carried by the client itself: output items are taken back as input', async () => {
    engine.next = [{ deltas: [{ reasoning_content: 'Hm.' }, ...TWO_CALLS] }];
    const first = await client.responses.create({ model: 'm', input: 'Hi', store: false });
    await client.responses.create({
      model: 'm',
      store: false,
      input: [
        { role: 'user', content: 'Hi' },
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: 'function_call_output', call_id: 'call_a', output: 'sun' },
      ],
    });
    expect(lastBody().messages).toMatchObject([
      { role: 'user', content: 'Hi' },
      { role: 'assistant', reasoning_content: 'Hm.', content: 'I look.' },
      { role: 'tool', content: 'sun' },
    ]);
  });

  it('is found by item_reference', async () => {
    const first = await client.responses.create({ model: 'm', input: 'One' });
    const id = first.output[0]?.id as string;
    await client.responses.create({
      model: 'm',
      input: [
        { type: 'item_reference', id },
        { role: 'user', content: 'Two' },
      ],
    });
    expect(lastBody().messages).toEqual([
      { role: 'assistant', content: ANSWER_TEXT },
      { role: 'user', content: 'Two' },
    ]);
    const error = await failure(
      stranger.responses.create({ model: 'm', input: [{ type: 'item_reference', id }] }),
    );
    expect(error).toMatchObject({ status: 400, param: 'input[0].id' });
  });

  it('ends a conversation whose earlier turn was deleted', async () => {
    const first = await client.responses.create({ model: 'm', input: 'One' });
    const second = await client.responses.create({
      model: 'm',
      input: 'Two',
      previous_response_id: first.id,
    });
    await client.responses.delete(first.id);
    const error = await failure(
      client.responses.create({ model: 'm', input: 'Three', previous_response_id: second.id }),
    );
    expect(error).toMatchObject({ status: 400, code: 'previous_response_not_found' });
    expect(error.message).toContain(first.id);
  });
});

describe('background responses', () => {
  it('run without their client and are read later', async () => {
    engine.next = [{ paceMs: 10 }];
    const { id, status } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    expect(status).toBe('queued');
    expect(await untilDone(id)).toMatchObject({
      status: 'completed',
      background: true,
      output_text: ANSWER_TEXT,
      usage: { output_tokens: ANSWER.length },
    });
  });

  it('say in_progress while they are worked on, and cannot be continued before', async () => {
    engine.next = [{ stallAfter: 2 }];
    const { id } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    for (;;) {
      const { status } = await client.responses.retrieve(id);
      if (status === 'in_progress') break;
      expect(status).toBe('queued');
    }
    const error = await failure(
      client.responses.create({ model: 'm', input: 'More', previous_response_id: id }),
    );
    expect(error).toMatchObject({ status: 400, param: 'previous_response_id' });
    await client.responses.cancel(id);
  });

  it('are cancelled, which reaches the engine, and cancelled again without effect', async () => {
    engine.next = [{ stallAfter: 2 }];
    const { id } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    const seen = await eventually(() => engine.seen[0]);
    expect((await client.responses.cancel(id)).status).toBe('cancelled');
    await eventually(() => seen.abortedAtMs !== null);
    expect((await client.responses.cancel(id)).status).toBe('cancelled');
    expect((await client.responses.retrieve(id)).status).toBe('cancelled');
  });

  it('that are deleted while they run stop the engine', async () => {
    engine.next = [{ stallAfter: 2 }];
    const { id } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    const seen = await eventually(() => engine.seen[0]);
    await client.responses.delete(id);
    await eventually(() => seen.abortedAtMs !== null);
    expect(await failure(client.responses.retrieve(id))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('that fail say why', async () => {
    engine.next = [
      { status: 400, body: '{"error":{"message":"too long","type":"x","param":null,"code":400}}' },
    ];
    const { id } = await client.responses.create({ model: 'm', input: 'Hi', background: true });
    expect(await untilDone(id)).toMatchObject({
      status: 'failed',
      error: { code: 'invalid_prompt', message: 'too long' },
    });
  });

  it('stream, and go on when the stream’s reader leaves and comes back', async () => {
    engine.next = [{ paceMs: 20 }];
    const stream = await client.responses.create({ model: 'm', input: 'Hi', background: true, stream: true });
    let id = '';
    let after = -1;
    for await (const event of stream) {
      if (event.type === 'response.created') id = event.response.id;
      after = event.sequence_number;
      if (event.type === 'response.output_text.delta') break;
    }
    const rest: ResponseStreamEvent[] = [];
    const again = await client.responses.retrieve(id, { stream: true, starting_after: after });
    for await (const event of again) rest.push(event);
    expect(rest[0]?.sequence_number).toBe(after + 1);
    expect(rest.at(-1)).toMatchObject({ type: 'response.completed', response: { id, status: 'completed' } });
    const all = await eventsOf(await client.responses.retrieve(id, { stream: true }));
    expect(all.map(({ type }) => type).slice(0, 3)).toEqual([
      'response.created',
      'response.queued',
      'response.in_progress',
    ]);
    const response = await client.responses.stream({ response_id: id }).finalResponse();
    expect(response.output_text).toBe(ANSWER_TEXT);
  });

  it('end a reader’s stream when they are cancelled', async () => {
    engine.next = [{ stallAfter: 1 }];
    const stream = await client.responses.create({ model: 'm', input: 'Hi', background: true, stream: true });
    let last: ResponseStreamEvent | undefined;
    for await (const event of stream) {
      last = event;
      if (event.type === 'response.output_text.delta') await client.responses.cancel(idOf(stream, last));
    }
    expect(last).toMatchObject({ type: 'response.failed', response: { status: 'cancelled' } });
  });
});

/** The id of the response that an item's event belongs to. */
function idOf(_stream: unknown, event: ResponseStreamEvent): string {
  const itemId = 'item_id' in event ? String(event.item_id) : '';
  return `resp_${/_([0-9a-f]{32})/.exec(itemId)?.[1]}`;
}

describe('errors', () => {
  it.each([
    ['no such model', { model: 'nope', input: 'x' }, 404, 'model_not_found'],
    ['a built-in tool', { model: 'm', input: 'x', tools: [{ type: 'web_search' }] }, 400, 'invalid_request'],
    [
      'an unknown part',
      { model: 'm', input: [{ role: 'user', content: [{ type: 'x' }] }] },
      400,
      'invalid_request',
    ],
    [
      'background without store',
      { model: 'm', input: 'x', background: true, store: false },
      400,
      'invalid_request',
    ],
    [
      'an unknown previous response',
      { model: 'm', input: 'x', previous_response_id: 'resp_x' },
      400,
      'previous_response_not_found',
    ],
    ['no input', { model: 'm' }, 400, 'invalid_request'],
    ['no replica', { model: 'down', input: 'x' }, 503, 'no_replica'],
  ])('%s', async (_name, body, status, code) => {
    const error = await failure(client.responses.create(body as never));
    expect(error).toMatchObject({ status, code });
    expect(error.message.length).toBeGreaterThan(10);
  });

  it('a wrong key', async () => {
    const error = await failure(clientOf('eve').responses.create({ model: 'm', input: 'x' }));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it('a full queue', async () => {
    engine.base = { hang: true };
    const controller = new AbortController();
    const { signal } = controller;
    const ask = (options = {}) => failure(client.responses.create({ model: 'narrow', input: 'x' }, options));
    const holder = ask({ signal });
    await eventually(() => engine.inFlight === 1);
    // Two at once: one stands in the queue, which the other finds full.
    const errors: unknown[] = [];
    while (!errors.some((error) => error instanceof OpenAI.RateLimitError))
      errors.push(...(await Promise.all([ask(), ask()])));
    controller.abort();
    await holder;
  });

  it('cancelling what was not created in the background', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(await failure(client.responses.cancel(id))).toBeInstanceOf(OpenAI.BadRequestError);
  });

  it('streaming what has no events', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(await failure(client.responses.retrieve(id, { stream: true }))).toMatchObject({
      status: 400,
      param: 'stream',
    });
  });

  it('pages that do not exist', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(
      await failure(client.responses.inputItems.list(id, { limit: 1_000 }) as unknown as Promise<unknown>),
    ).toMatchObject({ status: 400, param: 'limit' });
    expect(
      await failure(client.responses.inputItems.list(id, { after: 'msg_1' }) as unknown as Promise<unknown>),
    ).toMatchObject({ status: 400, param: 'after' });
  });
});

describe('a client that leaves', () => {
  const ROUNDS = 15;

  /** Milliseconds from the departure to the engine seeing it; the median of some rounds. */
  async function medianAbortMs(script: object, stream: boolean): Promise<number> {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      engine.seen = [];
      engine.next = [script];
      const controller = new AbortController();
      const answer = client.responses.create(
        { model: 'm', input: 'Hi', stream },
        { signal: controller.signal },
      );
      const seen = await eventually(() => engine.seen[0]);
      if (stream) {
        const events = (await answer) as AsyncIterable<ResponseStreamEvent>;
        for await (const event of events) if (event.type === 'response.output_text.delta') break;
      } else {
        const ended = failure(answer as Promise<unknown>);
        controller.abort();
        await ended;
      }
      const leftAtMs = performance.now();
      controller.abort();
      await eventually(() => seen.abortedAtMs !== null);
      times.push((seen.abortedAtMs as number) - leftAtMs);
    }
    return times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] as number;
  }

  it.each([
    ['before the headers', { hang: true }, false],
    ['in the body', { stallAfter: 3 }, true],
  ])('%s frees the engine within 10 ms', async (_phase, script, stream) => {
    expect(await medianAbortMs(script, stream)).toBeLessThan(10);
  });

  it('in the queue is never sent to an engine', async () => {
    engine.base = { hang: true };
    const controller = new AbortController();
    const first = failure(
      client.responses.create({ model: 'narrow', input: 'x' }, { signal: controller.signal }),
    );
    await eventually(() => engine.inFlight === 1);
    const second = new AbortController();
    const queued = failure(
      client.responses.create({ model: 'narrow', input: 'y' }, { signal: second.signal }),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    second.abort();
    await queued;
    controller.abort();
    await first;
    await eventually(() => engine.inFlight === 0);
    expect(engine.seen).toHaveLength(1);
  });
});

describe('engines that run for real', () => {
  it('embedded: text, stream and JSON by schema', async () => {
    const embedded = new EmbeddedUnderTest();
    const own = await startGateway([poolOf('inference-ops-demo', [{ url: (await embedded.ready()).url }])]);
    try {
      const sdk = new OpenAI({ baseURL: own.v1, apiKey: 'none', maxRetries: 0 });
      const ask = {
        model: 'inference-ops-demo',
        input: 'What does HTTP 429 mean?',
        temperature: 0,
        max_output_tokens: 40,
      };
      const whole = await sdk.responses.create(ask);
      expect(whole.output_text.length).toBeGreaterThan(10);
      const stream = await sdk.responses.stream(ask).finalResponse();
      expect(stream.output_text).toBe(whole.output_text);
      expect(stream.usage).toEqual(whole.usage);
      const Answer = z.object({ status: z.enum(['yes', 'no']), retry: z.boolean() });
      const parsed = await sdk.responses.parse({
        ...ask,
        max_output_tokens: 200,
        text: { format: zodTextFormat(Answer, 'answer') },
      });
      expect(Answer.safeParse(parsed.output_parsed).success).toBe(true);
      const count = await sdk.responses.inputTokens.count({ model: ask.model, input: ask.input });
      expect(count.input_tokens).toBe(whole.usage?.input_tokens);
    } finally {
      await own.stop();
      await embedded.stop();
    }
  });

  it('simulator: two hundred streams at once, each whole and stored', async () => {
    const simulator = await startSimulator(['--model-name', 'sim']);
    const own = await startGateway([poolOf('sim', [{ url: simulator.url }])], { queueSizeMax: 500 });
    try {
      const sdk = new OpenAI({ baseURL: own.v1, apiKey: 'none', maxRetries: 0 });
      const all = await Promise.all(
        Array.from({ length: 200 }, (_, index) =>
          sdk.responses
            .stream({ model: 'sim', input: `Question ${index}`, temperature: 0, max_output_tokens: 20 })
            .finalResponse(),
        ),
      );
      expect(all.map(({ error }) => error)).toEqual(all.map(() => null));
      const stored = await Promise.all(all.map(({ id }) => sdk.responses.retrieve(id)));
      expect(stored.map((response) => response.output_text)).toEqual(
        all.map((response) => response.output_text),
      );
    } finally {
      await own.stop();
      await stopSimulators();
    }
  });
});

describe('hostile requests', () => {
  const send = (method: string, path: string, body?: string) =>
    fetch(`${gateway.url}${path}`, {
      method,
      headers: { authorization: 'Bearer sk-ada' },
      ...(body !== undefined && { body }),
    });

  it.each([
    ['GET', '/v1/responses/%00'],
    ['GET', '/v1/responses/%2e%2e'],
    ['GET', `/v1/responses/${'x'.repeat(2_000)}`],
    ['GET', "/v1/responses/resp_'%20OR%201=1--"],
    ['DELETE', '/v1/responses/%27%3B%20DROP%20TABLE%20responses'],
    ['POST', '/v1/responses/resp_x/cancel'],
    ['GET', '/v1/responses/resp_x/input_items?limit=-1&order=sideways'],
    ['PUT', '/v1/responses/resp_x'],
    ['POST', '/v1/responses', '['],
    ['POST', '/v1/responses', '{"model":"m","input":{"__proto__":{"x":1}}}'],
    ['POST', '/v1/responses', `{"model":"m","input":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
    ['POST', '/v1/responses', '{"model":"m","input":"x","previous_response_id":"resp_\u0000"}'],
  ])('%s %s is refused with a 4xx', async (method, path, body?: string) => {
    const answer = await send(method, path, body);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(await answer.json()).toMatchObject({
      error: { message: expect.any(String), type: expect.any(String) },
    });
  });

  it('text with lone surrogates and NUL is stored and given back', async () => {
    const { id } = await client.responses.create({ model: 'm', input: 'a\u0000b\ud800c' });
    const { data } = await client.responses.inputItems.list(id);
    expect((data[0] as { content: { text: string }[] }).content[0]?.text).toBe('a\u0000b\ud800c');
  });
});
