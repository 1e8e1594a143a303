/** The helpers of the stock client: stream(), runTools(), parse(), and the ways to read a stream. */
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { type OpenAiFixture, startOpenAiFixture, USER, WEATHER_TOOL } from '../../support/openai-fixture.ts';
import { ANSWER_TEXT } from '../../support/scripted-engine.ts';

let fixture: OpenAiFixture;
const Weather = z.object({ city: z.string(), days: z.number().int().min(1).max(7) });

beforeAll(async () => {
  fixture = await startOpenAiFixture();
});
afterAll(() => fixture.stop());

it('stream() gives events as they come, and the final content', async () => {
  const deltas: string[] = [];
  const stream = fixture.client.chat.completions
    .stream({ model: 'script', messages: USER })
    .on('content', (delta) => deltas.push(delta));
  expect(await stream.finalContent()).toBe(ANSWER_TEXT);
  expect(deltas.join('')).toBe(ANSWER_TEXT);
});

it('stream() gives the final completion, message and usage', async () => {
  const stream = fixture.client.chat.completions.stream({
    model: 'script',
    messages: USER,
    stream_options: { include_usage: true },
  });
  expect((await stream.finalChatCompletion()).choices[0]?.finish_reason).toBe('stop');
  expect((await stream.finalMessage()).content).toBe(ANSWER_TEXT);
  expect((await stream.totalUsage()).completion_tokens).toBeGreaterThan(0);
});

it('stream() parses arguments of tools as they grow', async () => {
  const seen: string[] = [];
  const stream = fixture.client.chat.completions
    .stream({
      model: 'sim',
      messages: USER,
      tools: [zodFunction({ name: 'get_weather', parameters: Weather })],
    })
    .on('tool_calls.function.arguments.delta', ({ arguments_delta }) => seen.push(arguments_delta));
  const done = new Promise<string>((resolve) =>
    stream.on('tool_calls.function.arguments.done', ({ arguments: text }) => resolve(text)),
  );
  const call = (await stream.finalFunctionToolCall()) as { name: string; arguments: string };
  expect(seen.length).toBeGreaterThan(3);
  expect(seen.join('')).toBe(call.arguments);
  expect(await done).toBe(call.arguments);
  Weather.parse(JSON.parse(call.arguments));
});

it('stream() parses structured output against a zod schema', async () => {
  const stream = fixture.client.chat.completions.stream({
    model: 'sim',
    messages: USER,
    response_format: zodResponseFormat(Weather, 'weather'),
  });
  const { choices } = await stream.finalChatCompletion();
  Weather.parse(choices[0]?.message.parsed);
});

it('stream() can be sent on as a ReadableStream and read again', async () => {
  const sent = fixture.client.chat.completions.stream({ model: 'script', messages: USER });
  const again = ChatCompletionStream.fromReadableStream(sent.toReadableStream());
  expect(await again.finalContent()).toBe(ANSWER_TEXT);
});

it('stream() reports an abort', async () => {
  fixture.engine.next = [{ stallAfter: 1 }];
  const stream = fixture.client.chat.completions.stream({ model: 'script', messages: USER });
  stream.on('content', () => stream.abort());
  await expect(stream.done()).rejects.toThrow(/abort/i);
  expect(stream.aborted).toBe(true);
});

it('stream() reports an error of the API', async () => {
  const stream = fixture.client.chat.completions.stream({ model: 'nope', messages: USER });
  await expect(stream.done()).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
});

it('parse() gives the parsed value of structured output', async () => {
  const answer = await fixture.client.chat.completions.parse({
    model: 'sim',
    messages: USER,
    response_format: zodResponseFormat(Weather, 'weather'),
  });
  Weather.parse(answer.choices[0]?.message.parsed);
});

it('parse() gives parsed arguments of calls', async () => {
  const answer = await fixture.client.chat.completions.parse({
    model: 'sim',
    messages: USER,
    tools: [zodFunction({ name: 'get_weather', parameters: Weather })],
  });
  const call = answer.choices[0]?.message.tool_calls?.[0];
  Weather.parse(call?.type === 'function' ? call.function.parsed_arguments : undefined);
});

const runnable = (calls: unknown[]) => ({
  ...WEATHER_TOOL,
  function: {
    ...WEATHER_TOOL.function,
    parse: (text: string) => Weather.parse(JSON.parse(text)),
    function: (args: z.infer<typeof Weather>) => {
      calls.push(args);
      return 'Sunny.';
    },
  },
});

it('runTools() calls the function and comes back with the answer made of its result', async () => {
  const calls: unknown[] = [];
  const runner = fixture.client.chat.completions.runTools({
    model: 'sim',
    messages: USER,
    tools: [runnable(calls)],
  });
  expect(await runner.finalContent()).not.toBe('');
  expect(calls).toHaveLength(1);
  expect(runner.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
  expect(await runner.finalFunctionToolCallResult()).toBe('Sunny.');
});

it('runTools() does the same over streams', async () => {
  const calls: unknown[] = [];
  const runner = fixture.client.chat.completions.runTools({
    model: 'sim',
    messages: USER,
    stream: true,
    tools: [runnable(calls)],
  });
  expect(await runner.finalContent()).not.toBe('');
  expect(calls).toHaveLength(1);
});

it('a stream can be sent on as lines of JSON', async () => {
  const stream = await fixture.client.chat.completions.create({
    model: 'script',
    messages: USER,
    stream: true,
  });
  const text = await new Response(stream.toReadableStream()).text();
  const chunks = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(ANSWER_TEXT);
});
