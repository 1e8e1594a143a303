/** Tools and thinking, as the stock Anthropic client sees them, whole and streamed. */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AnthropicFixture,
  ASK,
  failure,
  MESSAGES,
  PARIS,
  piece,
  startAnthropicFixture,
  textIn,
  WEATHER,
} from '../../support/anthropic-fixture.ts';
import { eventually, type RunningGateway } from '../../support/gateway-under-test.ts';
import { ANSWER_TEXT, type ScriptedChat, type ScriptedEngine } from '../../support/scripted-engine.ts';

let fixture: AnthropicFixture;
let client: Anthropic;
let engine: ScriptedEngine;
let gateway: RunningGateway;

beforeAll(async () => {
  fixture = await startAnthropicFixture();
  ({ client, engine, gateway } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

const TWO: ScriptedChat = {
  deltas: [
    piece(0, '{"place":', 'weather'),
    piece(1, '{"place":', 'weather'),
    piece(0, '"Paris"}'),
    piece(1, '"Rome"}'),
  ],
};

describe('tools', () => {
  it('are described to the engine', async () => {
    await client.messages.create({ ...ASK, tools: [WEATHER], tool_choice: { type: 'any' } });
    expect(fixture.seenBody()).toMatchObject({
      tools: [
        {
          type: 'function',
          function: { name: 'weather', description: WEATHER.description, parameters: WEATHER.input_schema },
        },
      ],
      tool_choice: 'required',
    });
  });

  it('are called in a whole answer', async () => {
    fixture.play(PARIS);
    const message = await client.messages.create({ ...ASK, tools: [WEATHER] });
    expect(message.stop_reason).toBe('tool_use');
    expect(message.content).toMatchObject([
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', id: 'toolu_0', name: 'weather', input: { place: 'Paris' } },
    ]);
  });

  it('are called in a stream, their input as it is written', async () => {
    fixture.play(PARIS);
    const stream = client.messages.stream({ ...ASK, tools: [WEATHER] });
    const pieces: string[] = [];
    stream.on('inputJson', (json) => pieces.push(json));
    const message = await stream.finalMessage();
    expect(pieces).toEqual(['{"place"', ':"Par', 'is"}']);
    expect(message.content[1]).toMatchObject({ type: 'tool_use', input: { place: 'Paris' } });
    expect(message.stop_reason).toBe('tool_use');
  });

  it('are called in parallel, also when their pieces are mixed', async () => {
    fixture.play(TWO);
    const message = await client.messages.stream({ ...ASK, tools: [WEATHER] }).finalMessage();
    expect(message.content).toMatchObject([
      { type: 'tool_use', id: 'toolu_0', input: { place: 'Paris' } },
      { type: 'tool_use', id: 'toolu_1', input: { place: 'Rome' } },
    ]);
  });

  it('may be limited to one at a time', async () => {
    await client.messages.create({
      ...ASK,
      tools: [WEATHER],
      tool_choice: { type: 'tool', name: 'weather', disable_parallel_tool_use: true },
    });
    expect(fixture.seenBody()).toMatchObject({
      tool_choice: { type: 'function', function: { name: 'weather' } },
      parallel_tool_calls: false,
    });
  });

  it('give results back, and the conversation goes on', async () => {
    fixture.play(PARIS);
    const first = await client.messages.create({ ...ASK, tools: [WEATHER] });
    engine.base = {};
    const turns: Anthropic.MessageParam[] = [
      ...MESSAGES,
      { role: 'assistant', content: first.content as Anthropic.ContentBlockParam[] },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'toolu_0', content: 'no station', is_error: true },
          { type: 'text', text: 'Try again.' },
        ],
      },
    ];
    expect(textIn(await client.messages.create({ ...ASK, tools: [WEATHER], messages: turns }))).toBe(
      ANSWER_TEXT,
    );
    expect((fixture.seenBody().messages as unknown[]).slice(1)).toEqual([
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
    const error = await failure(client.messages.create({ ...ASK, tools }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.message).toContain('web_search_20250305');
    expect(engine.seen).toEqual([]);
  });

  it('whose arguments are no JSON end with an error, whole or streamed', async () => {
    fixture.play({ deltas: [piece(0, '{"place":', 'weather')] });
    const whole = await failure(client.messages.create({ ...ASK, tools: [WEATHER] }));
    expect(whole).toMatchObject({ status: 502, type: 'api_error' });
    const streamed = await failure(client.messages.stream({ ...ASK, tools: [WEATHER] }).finalMessage());
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
    fixture.play(thought);
    const message = await client.messages.create({ ...ASK, thinking });
    expect(message.content).toMatchObject([
      { type: 'thinking', thinking: 'Hmm.', signature: '' },
      { type: 'text', text: 'Yes.' },
    ]);
    expect(fixture.seenBody().chat_template_kwargs).toEqual({ enable_thinking: true, thinking: true });
  });

  it('comes in blocks before the text, streamed', async () => {
    fixture.play(thought);
    const stream = client.messages.stream({ ...ASK, thinking });
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
    fixture.play(thought);
    const message = await client.messages.stream({ ...ASK, thinking: { type: 'disabled' } }).finalMessage();
    expect(message.content).toMatchObject([{ type: 'text', text: 'Yes.' }]);
  });

  it('goes back to the engine in the next turn', async () => {
    const content = [
      { type: 'thinking' as const, thinking: 'Hmm.', signature: 's' },
      { type: 'text' as const, text: 'Yes.' },
    ];
    await client.messages.create({
      ...ASK,
      messages: [...MESSAGES, { role: 'assistant', content }, { role: 'user', content: 'Why?' }],
    });
    expect((fixture.seenBody().messages as unknown[])[1]).toEqual({
      role: 'assistant',
      content: 'Yes.',
      reasoning: 'Hmm.',
      reasoning_content: 'Hmm.',
    });
  });
});
