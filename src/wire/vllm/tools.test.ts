/** Tool calls and thoughts of the vLLM dialect, over a core that writes what it was told to. */
import { describe, expect, it } from 'vitest';
import type { AnswerJson, AnswerToolCall, Some } from '../../../tests/support/answer-json.ts';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { ScriptedCore } from '../../../tests/support/scripted-core.ts';
import { systemClock } from '../../base/clock.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import { createVllmDialect } from './dialect.ts';

const CHAT = '/v1/chat/completions';
const CALLS =
  '<tool_call>\n{"name": "a", "arguments": {"x": "é"}}\n</tool_call>\n<tool_call>\n{"name": "b", "arguments": {}}\n</tool_call>';
const messages = [{ role: 'user', content: 'hi' }];
const tool = (name: string) => ({ type: 'function', function: { name, parameters: { type: 'object' } } });
const tools = [tool('a'), tool('b')];

async function ask(body: object, { answer = CALLS, canCallTools = true } = {}) {
  const core = new ScriptedCore({ answer, canCallTools, perStep: 3 });
  const dialect = createVllmDialect({ core, release: '1', clock: systemClock });
  const exchange = new FakeExchange('POST', CHAT, { messages, ...body });
  dialect.handle(exchange);
  await exchange.answered;
  return { core, exchange };
}

describe('tool calls', () => {
  it('are in the message of a whole answer, with null for its text', async () => {
    const { exchange } = await ask({ tools });
    const [choice] = exchange.json.choices;
    expect(choice).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
    expect(choice.message.tool_calls.map(({ type, function: fn }) => [type, fn])).toEqual([
      ['function', { name: 'a', arguments: '{"x": "é"}' }],
      ['function', { name: 'b', arguments: '{}' }],
    ]);
    expect(new Set(choice.message.tool_calls.map(({ id }) => id)).size).toBe(2);
  });

  it('are streamed: id and name once, then the arguments in fragments', async () => {
    const { exchange } = await ask({ tools, stream: true });
    const data = parseSseEvents(exchange.text).map((event) => event.data);
    expect(data.pop()).toBe('[DONE]');
    const chunks = data.map((text) => JSON.parse(text)) as Some<AnswerJson>;
    const deltas = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    const joined = new Map<number, AnswerToolCall>();
    for (const delta of deltas) {
      const call = joined.get(delta.index);
      if (call === undefined) joined.set(delta.index, structuredClone(delta));
      else {
        expect(delta.id ?? delta.function.name).toBeUndefined();
        call.function.arguments += delta.function.arguments;
      }
    }
    expect([...joined.values()].map(({ function: fn }) => fn)).toEqual([
      { name: 'a', arguments: '{"x": "é"}' },
      { name: 'b', arguments: '{}' },
    ]);
    expect(deltas.length).toBeGreaterThan(3);
    expect(chunks.at(-1)?.choices[0].finish_reason).toBe('tool_calls');
  });

  it('end with "stop" when the request named the function', async () => {
    const { exchange, core } = await ask({
      tools,
      tool_choice: { type: 'function', function: { name: 'b' } },
    });
    expect(exchange.json.choices[0].finish_reason).toBe('stop');
    expect(core.requests[0]?.tools).toMatchObject({ choice: { name: 'b' }, parallel: true });
  });

  it('are not made when forbidden, or right after a result', async () => {
    const afterResult = [...messages, { role: 'tool', tool_call_id: 'x', content: '1' }];
    for (const body of [{ tools, tool_choice: 'none' }, { tools, messages: afterResult }, { tools: [] }]) {
      expect((await ask(body)).core.requests[0]?.tools).toBeUndefined();
    }
    expect(
      (await ask({ tools, messages: afterResult, tool_choice: 'required' })).core.requests[0]?.tools,
    ).toBeDefined();
  });

  it('are ignored by a core without tools, and refused where demanded', async () => {
    const { exchange } = await ask({ tools }, { canCallTools: false, answer: 'text' });
    expect(exchange.json.choices[0].message.content).toBe('text');
    expect((await ask({ tools, tool_choice: 'required' }, { canCallTools: false })).exchange.status).toBe(
      400,
    );
  });

  it.each([
    [{ tools: 'x' }, 'tools'],
    [{ tools: Array.from({ length: 129 }, () => tool('a')) }, 'tools'],
    [{ tools: [{ type: 'retrieval' }] }, 'tools[0].type'],
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools[0].function.name'],
    [
      { tools: [{ type: 'function', function: { name: 'a', parameters: [] } }] },
      'tools[0].function.parameters',
    ],
    [{ tools, tool_choice: 'any' }, 'tool_choice'],
    [{ tools, tool_choice: { type: 'function', function: { name: 'c' } } }, 'tool_choice.function.name'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tools, parallel_tool_calls: 1 }, 'parallel_tool_calls'],
    [{ chat_template_kwargs: 1 }, 'chat_template_kwargs'],
  ])('refuses %j', async (body, param) => {
    const { exchange } = await ask(body);
    expect([exchange.status, exchange.json.error.param]).toEqual([400, param]);
  });
});

describe('thoughts', () => {
  const answer = '<think>\nhm\n</think>\n\nYes.';

  it('are told apart from the text when asked for', async () => {
    const { exchange } = await ask({ chat_template_kwargs: { enable_thinking: true } }, { answer });
    expect(exchange.json.choices[0].message).toMatchObject({ reasoning_content: 'hm\n', content: 'Yes.' });
  });

  it('stream before the text', async () => {
    const { exchange } = await ask({ chat_template_kwargs: { thinking: true }, stream: true }, { answer });
    const deltas = parseSseEvents(exchange.text)
      .filter(({ data }) => data !== '[DONE]')
      .map(({ data }) => (JSON.parse(data) as AnswerJson).choices[0].delta);
    expect(deltas.map((delta) => delta.reasoning_content ?? '').join('')).toBe('hm\n');
    expect(deltas.map((delta) => delta.content ?? '').join('')).toBe('Yes.');
  });
});
