/** Whole responses, as the stock client sees them: texts, parts, tools, structured output, what the engine is asked. */
import type OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  failure,
  type ResponsesFixture,
  startResponsesFixture,
  TWO_CALLS,
  WEATHER,
} from '../../support/responses-fixture.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine } from '../../support/scripted-engine.ts';

let fixture: ResponsesFixture;
let client: OpenAI;
let engine: ScriptedEngine;

beforeAll(async () => {
  fixture = await startResponsesFixture();
  ({ client, engine } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

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
    expect(fixture.lastBody().messages).toEqual([
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
    expect(fixture.lastBody()).toMatchObject({
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
    expect(fixture.lastBody().messages).toMatchObject([
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
    engine.next = [{ chat: { deltas: [{ reasoning_content: 'Hm.' }, { content: 'Yes.' }] } }];
    const response = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(response.output).toMatchObject([
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'Hm.' }], summary: [] },
      { type: 'message', content: [{ type: 'output_text', text: 'Yes.' }] },
    ]);
  });

  it('gives a refusal as a part of the message', async () => {
    engine.next = [{ chat: { deltas: [{ refusal: 'No.' }] } }];
    const response = await client.responses.create({ model: 'm', input: 'Hi' });
    expect(response.output).toMatchObject([{ content: [{ type: 'refusal', refusal: 'No.' }] }]);
  });

  it('gives parallel calls of tools', async () => {
    engine.next = [{ chat: { deltas: TWO_CALLS } }];
    const response = await client.responses.create({
      model: 'm',
      input: 'Weather?',
      tools: [WEATHER],
      parallel_tool_calls: true,
    });
    const { type: _type, ...fn } = WEATHER;
    expect(fixture.lastBody()).toMatchObject({
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
    expect(fixture.lastBody().tool_choice).toEqual(expected);
    if (expected === 'auto') expect(fixture.lastBody().tools).toHaveLength(1);
  });

  it('parses structured output with the helper', async () => {
    const Weather = z.object({ city: z.string(), degrees: z.number() });
    engine.next = [{ chat: { deltas: [{ content: '{"city":"Paris",' }, { content: '"degrees":21}' }] } }];
    const response = await client.responses.parse({
      model: 'm',
      input: 'Weather?',
      text: { format: zodTextFormat(Weather, 'weather') },
    });
    expect(response.output_parsed).toEqual({ city: 'Paris', degrees: 21 });
    expect(fixture.lastBody().response_format).toMatchObject({
      type: 'json_schema',
      json_schema: { name: 'weather', strict: true, schema: { type: 'object' } },
    });
  });

  it('asks for a JSON object', async () => {
    await client.responses.create({ model: 'm', input: 'Hi', text: { format: { type: 'json_object' } } });
    expect(fixture.lastBody().response_format).toEqual({ type: 'json_object' });
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
