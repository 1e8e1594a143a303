import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { ContinuedStream, type ContinuedStreamOptions } from './continued-stream.ts';
import { addEvents, choiceOf, emptyDelivered } from './delivered-stream.ts';

const event = (value: unknown) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
const chunk = (delta: Record<string, unknown>, finish: string | null = null, id = 'first') => ({
  id,
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish }],
});

function deliveredOf(...deltas: Record<string, unknown>[]) {
  const delivered = emptyDelivered();
  addEvents(delivered, deltas.map((delta) => event(chunk(delta))).join(''));
  return delivered;
}

function continued(
  options: Partial<ContinuedStreamOptions> & Pick<ContinuedStreamOptions, 'tier' | 'delivered'>,
): ContinuedStream {
  return new ContinuedStream({
    endpoint: 'chat',
    deliveredTokens: 0,
    choices: 1,
    includeUsage: false,
    stopStrings: [],
    mayEchoPrefill: false,
    ...options,
  });
}

/** What the client reads out of the events: text, and the arguments of tool calls. */
function read(data: string[]) {
  const delivered = emptyDelivered();
  addEvents(delivered, data.map((item) => event(item)).join(''));
  const choice = choiceOf(delivered, 0);
  return {
    text: choice.text,
    reasoning: choice.reasoning,
    calls: [...choice.toolCalls.values()],
    finish: choice.finishReason,
  };
}

describe('tier C', () => {
  it('suppresses what was delivered for any two cuttings of the same answer (10,000 cases)', () => {
    const text = anyText(20, 1);
    fc.assert(
      fc.property(text, fc.nat(20), fc.array(fc.nat(20), { maxLength: 5 }), (answer, cut, places) => {
        const had = answer.slice(0, cut % (answer.length + 1));
        const stream = continued({
          tier: 'C',
          delivered: deliveredOf({ role: 'assistant', content: '' }, { content: had }),
        });
        const borders = [
          0,
          ...places.map((place) => place % (answer.length + 1)).sort((a, b) => a - b),
          answer.length,
        ];
        const pieces = borders.slice(1).map((end, index) => answer.slice(borders[index], end));
        const frames = [
          chunk({ role: 'assistant', content: '' }),
          ...pieces.map((piece) => chunk({ content: piece })),
          chunk({}, 'stop'),
        ];
        const output = stream.push(
          Buffer.from(frames.map((frame) => event(frame)).join('') + event('[DONE]')),
        );
        if (output.kind !== 'events') throw new Error(output.kind);
        mustEqual(output.finished, true);
        const seen = read(output.data);
        mustEqual(had + seen.text, answer);
        mustEqual(seen.finish, 'stop');
      }),
      { numRuns: 10_000 },
    );
  });

  it('suppresses tool calls by name and arguments, not by their random ids', () => {
    const call = (id: string, name: string, args: string) => ({
      tool_calls: [{ index: 0, id, type: 'function', function: { name, arguments: args } }],
    });
    const more = (args: string) => ({ tool_calls: [{ index: 0, function: { arguments: args } }] });
    const stream = continued({
      tier: 'C',
      delivered: deliveredOf(call('call-1', 'look_up', ''), more('{"ci'), more('ty":"Pa')),
    });
    const output = stream.push(
      Buffer.from(
        [call('call-2', 'look_up', ''), more('{"city":'), more('"Paris"'), more('}')]
          .map((delta) => event(chunk(delta)))
          .join(''),
      ),
    );
    expect(output.kind).toBe('events');
    const { calls } = read((output as { data: string[] }).data);
    expect(`{"city":"Pa${calls[0]?.arguments}`).toBe('{"city":"Paris"}');
    expect(JSON.stringify(output)).not.toContain('call-2');
  });

  it.each([
    ['other text', [chunk({ content: 'Hi Mars' })]],
    ['an earlier end', [chunk({ content: 'Hi' }), chunk({}, 'stop')]],
  ])('reports %s as a divergence', (_name, frames) => {
    const stream = continued({ tier: 'C', delivered: deliveredOf({ content: 'Hi world' }) });
    expect(stream.push(Buffer.from(frames.map((frame) => event(frame)).join(''))).kind).toBe('diverged');
  });

  it('never repeats or loses a character of parallel calls, wherever they were cut (10,000 cases)', () => {
    type Delta = Record<string, unknown>;
    const begin = (index: number, name: string): Delta => ({
      tool_calls: [{ index, id: `x${Math.random()}`, type: 'function', function: { name, arguments: '' } }],
    });
    const more = (index: number, text: string): Delta => ({
      tool_calls: [{ index, function: { arguments: text } }],
    });
    const cutAt = (text: string, places: readonly number[]) => {
      const borders = [
        0,
        ...places.map((place) => place % (text.length + 1)).sort((a, b) => a - b),
        text.length,
      ];
      return borders.slice(1).map((end, at) => text.slice(borders[at], end));
    };
    const write = (thought: string, calls: readonly string[], places: readonly number[]): Delta[] => [
      { role: 'assistant', content: '' },
      ...cutAt(thought, places).map((text) => ({ reasoning_content: text, tool_calls: null })),
      ...calls.flatMap((text, index) => [
        begin(index, `f${index}`),
        ...cutAt(text, places).map((piece) => more(index, piece)),
      ]),
    ];
    const args = jsonValue(1).map((value) => JSON.stringify(value));
    const places = fc.array(fc.nat(30), { maxLength: 3 });
    fc.assert(
      fc.property(
        anyText(6),
        fc.array(args, { minLength: 1, maxLength: 3 }),
        ...([places, places, fc.nat(30)] as const),
        (thought, calls, first, second, cut) => {
          const before = write(thought, calls, first).slice(0, cut);
          const stream = continued({ tier: 'C', delivered: deliveredOf(...before) });
          const frames = write(thought, calls, second).map((delta) => event(chunk(delta)));
          const output = stream.push(Buffer.from(frames.join('') + event(chunk({}, 'tool_calls'))));
          if (output.kind !== 'events') throw new Error(output.kind);
          const seen = emptyDelivered();
          addEvents(seen, before.map((delta) => event(chunk(delta))).join(''));
          addEvents(seen, output.data.map((item) => event(item)).join(''));
          const choice = choiceOf(seen, 0);
          mustEqual(choice.reasoning, thought);
          mustEqual(
            [...choice.toolCalls.values()],
            calls.map((text, index) => ({ name: `f${index}`, arguments: text })),
          );
        },
      ),
      { numRuns: 10_000 },
    );
  });

  it.each([
    [
      'goes on to the next call too early',
      [
        [0, 'f', '{"a":'],
        [1, 'g', '{}'],
      ],
    ],
    ['ends inside the arguments', [[0, 'f', '{"a":']]],
    ['calls another function', [[0, 'h', '{"a": 1']]],
  ] as const)('reports a replay that %s as a divergence', (_name, calls) => {
    const delta = (index: number, name: string, text: string) => ({
      tool_calls: [{ index, id: 'i', type: 'function', function: { name, arguments: text } }],
    });
    const stream = continued({ tier: 'C', delivered: deliveredOf(delta(0, 'f', '{"a": 1')) });
    const frames = calls.map(([index, name, text]) => event(chunk(delta(index, name, text))));
    const output = stream.push(Buffer.from(frames.join('') + event(chunk({}, 'tool_calls'))));
    expect(output.kind).toBe('diverged');
  });

  it('is complete only when every choice that was asked for has ended', () => {
    const stream = continued({ tier: 'C', choices: 2, delivered: deliveredOf({ content: 'a' }) });
    stream.push(Buffer.from(event(chunk({ content: 'a' })) + event(chunk({}, 'stop'))));
    expect(stream.finished).toBe(false);
  });

  it('sends nothing for what the client has, also where engines fill deltas with nulls', () => {
    const empty = { reasoning_content: null, tool_calls: [], refusal: null, function_call: null };
    const stream = continued({ tier: 'C', delivered: deliveredOf({ content: 'ab' }) });
    const output = stream.push(
      Buffer.from(event(chunk({ content: 'a', ...empty })) + event(chunk({ content: 'b', ...empty }))),
    );
    expect(output).toEqual({ kind: 'events', data: [], finished: false });
  });

  it('follows reasoning and text apart', () => {
    const stream = continued({
      tier: 'C',
      delivered: deliveredOf({ reasoning_content: 'think' }, { content: 'ans' }),
    });
    const output = stream.push(
      Buffer.from(event(chunk({ reasoning_content: 'think' })) + event(chunk({ content: 'answer' }))),
    );
    expect(read((output as { data: string[] }).data)).toMatchObject({ text: 'wer', reasoning: '' });
  });
});

describe('tiers A and B', () => {
  it('keeps the identity of the stream and drops a second role', () => {
    const stream = continued({ tier: 'B', delivered: deliveredOf({ content: 'Hello' }) });
    const output = stream.push(
      Buffer.from(
        event(chunk({ role: 'assistant', content: '' }, null, 'second')) +
          event(chunk({ content: ' you' }, null, 'second')),
      ),
    );
    const data = (output as { data: string[] }).data;
    expect(data).toHaveLength(1);
    expect(JSON.parse(data[0] as string)).toMatchObject({
      id: 'first',
      choices: [{ delta: { content: ' you' } }],
    });
  });

  it('strips a whole leading copy of the prefill where an engine may echo it, and only that', () => {
    const delivered = deliveredOf({ content: 'A long beginning' });
    const echo = continued({ tier: 'B', delivered, mayEchoPrefill: true });
    expect(
      read(
        (echo.push(Buffer.from(event(chunk({ content: 'A long beginning of it' })))) as { data: string[] })
          .data,
      ).text,
    ).toBe(' of it');
    const plain = continued({ tier: 'B', delivered, mayEchoPrefill: true });
    expect(
      read((plain.push(Buffer.from(event(chunk({ content: 'A long way' })))) as { data: string[] }).data)
        .text,
    ).toBe('A long way');
  });

  it('turns raw completion events into chat events', () => {
    const stream = continued({ tier: 'A', delivered: deliveredOf({ content: 'x' }) });
    const raw = {
      id: 'cmpl',
      object: 'text_completion',
      created: 9,
      model: 'm',
      choices: [{ index: 0, text: ' y', finish_reason: 'length' }],
    };
    const [first] = (stream.push(Buffer.from(event(raw))) as { data: string[] }).data;
    expect(JSON.parse(first as string)).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [{ delta: { content: ' y' }, finish_reason: 'length' }],
    });
  });

  it('keeps whole events, ids included, while a stop string may lie across the seam', () => {
    const stream = continued({ tier: 'A', delivered: deliveredOf({ content: 'xa' }), stopStrings: ['ab!'] });
    const raw = (text: string, id: number) =>
      event({ choices: [{ index: 0, text, token_ids: [id], finish_reason: null }] });
    expect(stream.push(Buffer.from(raw('b', 5)))).toEqual({ kind: 'events', data: [], finished: false });
    const output = stream.push(Buffer.from(raw('c', 6))) as { data: string[] };
    expect(read(output.data).text).toBe('bc');
    expect(output.data.flatMap((item) => JSON.parse(item).choices[0].token_ids)).toEqual([5, 6]);
  });

  it('moves delivered tokens from the prompt to the completion in usage', () => {
    const stream = continued({
      tier: 'B',
      delivered: deliveredOf({ content: 'x' }),
      deliveredTokens: 4,
      includeUsage: true,
    });
    const usage = {
      id: 'u',
      choices: [],
      usage: { prompt_tokens: 14, completion_tokens: 6, total_tokens: 20 },
    };
    const [data] = (stream.push(Buffer.from(event(usage))) as { data: string[] }).data;
    expect(JSON.parse(data as string).usage).toEqual({
      prompt_tokens: 10,
      completion_tokens: 10,
      total_tokens: 20,
    });
  });

  it('passes on a usage that is no number, as the engine wrote it or empty', () => {
    const stream = continued({ tier: 'B', delivered: deliveredOf({ content: 'x' }), includeUsage: true });
    const usage = { prompt_tokens: { toString: 1 }, completion_tokens: 2 };
    const output = stream.push(Buffer.from(event({ id: 'u', choices: [], usage })));
    expect(read((output as { data: string[] }).data).text).toBe('');
  });

  it('reports errors and nonsense of the engine', () => {
    const broken = () => continued({ tier: 'B', delivered: deliveredOf({ content: 'x' }) });
    expect(broken().push(Buffer.from(event({ error: { message: 'dead' } }))).kind).toBe('engine-error');
    expect(broken().push(Buffer.from(event('not json'))).kind).toBe('engine-error');
  });
});
