/** Tool calls over the stock client. */
import type OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  ALARM_TOOL,
  failureOf,
  type OpenAiFixture,
  startOpenAiFixture,
  USER,
  WEATHER_TOOL,
} from '../../support/openai-fixture.ts';

type Params = Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>;
type FunctionCall = OpenAI.ChatCompletionMessageFunctionToolCall;
let fixture: OpenAiFixture;
const tools = [WEATHER_TOOL, ALARM_TOOL];

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

async function call(params: Params = {}) {
  const answer = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    tools,
    temperature: 0,
    ...params,
  });
  const [choice] = answer.choices;
  const calls = (choice?.message.tool_calls ?? []) as FunctionCall[];
  return { reason: choice?.finish_reason, content: choice?.message.content, calls };
}

it('calls functions with arguments that obey their schemas', async () => {
  const { reason, content, calls } = await call();
  expect([reason, content]).toEqual(['tool_calls', null]);
  const [weather, alarm] = calls.map((one) => JSON.parse(one.function.arguments));
  expect(weather).toEqual({ city: expect.any(String), days: expect.any(Number) });
  expect(['dawn', 'noon']).toContain(alarm.at);
});

it('makes parallel calls, each with an id of its own', async () => {
  const { calls } = await call();
  expect(calls.map((one) => one.function.name)).toEqual(['get_weather', 'set_alarm']);
  expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
});

it('makes one call when parallel calls are off', async () => {
  expect((await call({ parallel_tool_calls: false })).calls).toHaveLength(1);
});

it('calls the function that was named, and ends with "stop" then', async () => {
  const tool_choice = { type: 'function' as const, function: { name: 'set_alarm' } };
  const { reason, calls } = await call({ tool_choice });
  expect([reason, calls.map((one) => one.function.name)]).toEqual(['stop', ['set_alarm']]);
});

it('calls nothing when tool_choice is "none", and something when it is "required"', async () => {
  expect((await call({ tool_choice: 'none' })).calls).toEqual([]);
  expect((await call({ tool_choice: 'required' })).calls.length).toBeGreaterThan(0);
});

it('makes an answer of the results', async () => {
  const { calls } = await call();
  const { calls: again, content } = await call({
    messages: [
      ...USER,
      { role: 'assistant', tool_calls: calls },
      ...calls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: 'done' })),
    ],
  });
  expect(again).toEqual([]);
  expect(content).not.toBe('');
});

it('streams parallel calls in fragments that add up to the whole', async () => {
  const { calls: whole } = await call();
  const stream = await fixture.client.chat.completions.create({
    model: 'sim',
    messages: USER,
    tools,
    temperature: 0,
    stream: true,
  });
  const sums: { name: string; text: string; ids: number }[] = [];
  let fragments = 0;
  let reason: string | null = null;
  for await (const { choices } of stream) {
    reason = choices[0]?.finish_reason ?? reason;
    for (const delta of choices[0]?.delta.tool_calls ?? []) {
      fragments++;
      sums[delta.index] ??= { name: '', text: '', ids: 0 };
      const sum = sums[delta.index] as (typeof sums)[number];
      sum.name += delta.function?.name ?? '';
      sum.text += delta.function?.arguments ?? '';
      if (delta.id !== undefined) sum.ids++;
    }
  }
  expect(sums).toEqual(whole.map(({ function: fn }) => ({ name: fn.name, text: fn.arguments, ids: 1 })));
  expect(fragments).toBeGreaterThan(10);
  expect(reason).toBe('tool_calls');
});

it('streams n answers with calls each', async () => {
  const stream = fixture.client.chat.completions.stream({
    model: 'sim',
    messages: USER,
    tools,
    n: 2,
    seed: 1,
  });
  const { choices } = await stream.finalChatCompletion();
  for (const { message } of choices) {
    for (const one of message.tool_calls as FunctionCall[]) JSON.parse(one.function.arguments);
    expect(message.tool_calls).toHaveLength(2);
  }
});

it('refuses a function that is not among the tools, with the names of those that are', async () => {
  const tool_choice = { type: 'function' as const, function: { name: 'fly' } };
  const error = await failureOf(call({ tool_choice }));
  expect(error).toMatchObject({ status: 400, param: 'tool_choice.function.name' });
  expect(error.message).toContain('get_weather, set_alarm');
});

it('hands tool messages and definitions to the engine as they are', async () => {
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    ...USER,
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{"x": 1 }' } }],
    },
    { role: 'tool', tool_call_id: 'a', content: [{ type: 'text', text: 'ok' }] },
  ];
  const custom = [{ type: 'custom' as const, custom: { name: 'c', format: { type: 'text' as const } } }];
  await fixture.client.chat.completions.create({ model: 'script', messages, tools: custom });
  expect(fixture.engine.seen.at(-1)?.body).toMatchObject({ messages, tools: custom });
});
