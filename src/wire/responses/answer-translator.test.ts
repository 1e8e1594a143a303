import fc from 'fast-check';
import { accumulateResponse } from 'openai/lib/responses/ResponseAccumulator';
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import { describe, expect, it } from 'vitest';
import { anyText, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
import { addEvents, choiceOf, emptyDelivered } from '../openai/delivered-stream.ts';
import { type ResponseEventOut, ResponsesTranslator } from './answer-translator.ts';
import { responseIdOf } from './item-ids.ts';
import type { ResponseObject } from './response-object.ts';

const ID = responseIdOf('0123456789abcdef0123456789abcdef');
type Fields = Record<string, unknown>;

const sse = (value: unknown) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
const chunk = (delta: Fields, finish: string | null = null) => ({
  id: 'c',
  choices: [{ index: 0, delta, finish_reason: finish }],
});

function translator(echo: Fields = {}): ResponsesTranslator {
  return new ResponsesTranslator({ id: ID, createdAtS: 1, echo: { model: 'm', ...echo } }, () => 2);
}

/** All events of a stream that came in these pieces. */
function translate(pieces: string[]): { events: Fields[]; response: ResponseObject } {
  const answer = translator();
  const out: ResponseEventOut[] = [...answer.begin()];
  for (const piece of pieces) out.push(...answer.events(Buffer.from(piece)));
  const { events, response } = answer.end();
  out.push(...events, answer.last(response));
  return { events: out.map(({ data }) => JSON.parse(data) as Fields), response };
}

const typesOf = (events: Fields[]) => events.map(({ type }) => type);

describe('streams', () => {
  it('tells of a text in the vendor’s order', () => {
    const { events, response } = translate([
      sse(chunk({ role: 'assistant', content: '' })),
      sse(chunk({ content: 'Hé' })) + sse(chunk({ content: 'llo' })),
      sse(chunk({}, 'stop')),
      sse({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } }) +
        sse('[DONE]'),
    ]);
    expect(typesOf(events)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(response).toMatchObject({
      id: ID,
      object: 'response',
      status: 'completed',
      completed_at: 2,
      output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Héllo' }] }],
      usage: { input_tokens: 3, output_tokens: 2, total_tokens: 5 },
    });
  });

  it('tells of reasoning, then text, then parallel calls whose arguments come mixed', () => {
    const call = (index: number, fields: Fields) => chunk({ tool_calls: [{ index, ...fields }] });
    const { events, response } = translate(
      [
        chunk({ reasoning_content: 'Two ' }),
        chunk({ reasoning: 'cities.' }),
        chunk({ content: 'I look.' }),
        call(0, { id: 'a', type: 'function', function: { name: 'weather', arguments: '' } }),
        call(0, { function: { arguments: '{"city":' } }),
        call(1, { id: 'b', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } }),
        call(0, { function: { arguments: '"Paris"}' } }),
        chunk({}, 'tool_calls'),
      ].map(sse),
    );
    expect(response.status).toBe('completed');
    expect(response.output).toMatchObject([
      { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'Two cities.' }] },
      { type: 'message', status: 'completed' },
      { type: 'function_call', call_id: 'a', name: 'weather', arguments: '{"city":"Paris"}' },
      { type: 'function_call', call_id: 'b', name: 'weather', arguments: '{"city":"Rome"}' },
    ]);
    const dones = events.filter(({ type }) => type === 'response.function_call_arguments.done');
    expect(dones.map((done) => done.arguments)).toEqual(['{"city":"Paris"}', '{"city":"Rome"}']);
  });

  it('ends as incomplete when tokens ran out, and says what was cut', () => {
    const { events, response } = translate([sse(chunk({ content: 'To be or' })), sse(chunk({}, 'length'))]);
    expect(typesOf(events).at(-1)).toBe('response.incomplete');
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ status: 'incomplete' }],
    });
  });

  it('ends as failed when the engine reports an error, and leaves out a call that is not whole', () => {
    const error = { error: { message: 'engine lost', type: 'upstream_error', param: null, code: 'x' } };
    const { events, response } = translate([
      sse(chunk({ content: 'Hm' })),
      sse(chunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '{"a":' } }] })),
      sse(error),
      sse(chunk({ content: 'late' })),
    ]);
    expect(typesOf(events).at(-1)).toBe('response.failed');
    expect(typesOf(events)).not.toContain('response.function_call_arguments.done');
    expect(response).toMatchObject({
      status: 'failed',
      error: { code: 'server_error', message: 'engine lost' },
      output: [{ type: 'message', content: [{ text: 'Hm' }] }],
    });
    expect(response.output).toHaveLength(1);
  });

  it('ends as failed at an error whose code is an object, whatever its methods', () => {
    const { response } = translate([sse({ error: { message: 'x', code: { toString: 1 } } })]);
    expect(response.error).toEqual({ code: 'server_error', message: 'x' });
  });

  it.each([
    [{ error: { message: 'x', type: 'rate_limit_error' } }, 'rate_limit_exceeded'],
    [{ error: { message: 'x', code: 'saturated' } }, 'rate_limit_exceeded'],
    [{ error: { message: 'x', type: 'invalid_request_error', code: null } }, 'invalid_prompt'],
    [{ error: { message: 'x', type: 'BadRequestError', code: 400 } }, 'invalid_prompt'],
    [{ error: { message: 'x', code: '400' } }, 'invalid_prompt'],
    [{ object: 'error', message: 'x', code: 400 }, 'invalid_prompt'],
    [{ error: { message: 'x', code: 429 } }, 'server_error'],
    [{ error: 'x' }, 'server_error'],
  ])('ends as failed at %j: %s', (error, code) => {
    const { response } = translate([
      sse(chunk({ content: 'Hm' })),
      sse(error),
      sse(chunk({ content: 'late' })),
    ]);
    expect(response).toMatchObject({ status: 'failed', error: { code, message: 'x' } });
    expect(response.output).toMatchObject([{ content: [{ text: 'Hm' }] }]);
  });

  it('ends as failed at an event that is no JSON object: what follows could be anything', () => {
    const { response } = translate([sse('{"choices":['), sse(chunk({ content: 'late' }, 'stop'))]);
    expect(response).toMatchObject({ status: 'failed', error: { code: 'server_error' }, output: [] });
  });

  it('tells of calls without an index by their places, and of the one call of the API before tools', () => {
    const call = (name: string) => ({ id: name, type: 'function', function: { name, arguments: '{}' } });
    const { response } = translate([sse(chunk({ tool_calls: [call('f'), call('g')] }, 'tool_calls'))]);
    expect(response.output).toMatchObject([{ name: 'f' }, { name: 'g' }]);
    const former = { function_call: { name: 'f', arguments: '{}' } };
    expect(translate([sse(chunk(former, 'function_call'))]).response.output).toMatchObject([
      { type: 'function_call', name: 'f', arguments: '{}' },
    ]);
  });

  it('ends as failed when the stream just stops', () => {
    const { events, response } = translate([sse(chunk({ content: 'Hm' }))]);
    expect(typesOf(events).at(-1)).toBe('response.failed');
    expect(response.error).toMatchObject({ code: 'server_error' });
  });

  it('says a refusal as a part of its own', () => {
    const { events, response } = translate([
      sse(chunk({ refusal: 'No' })),
      sse(chunk({ refusal: '.' }, 'stop')),
    ]);
    expect(typesOf(events)).toContain('response.refusal.delta');
    expect(response.output).toMatchObject([{ content: [{ type: 'refusal', refusal: 'No.' }] }]);
  });

  it('carries log probabilities, with bytes in the final part only', () => {
    const logprob = {
      token: 'a',
      logprob: -1,
      bytes: [97],
      top_logprobs: [{ token: 'a', logprob: -1, bytes: [97] }],
    };
    const { events, response } = translate([
      sse({ choices: [{ index: 0, delta: { content: 'a' }, logprobs: { content: [logprob] } }] }),
      sse(chunk({}, 'stop')),
    ]);
    const delta = events.find(({ type }) => type === 'response.output_text.delta');
    expect(delta?.logprobs).toEqual([
      { token: 'a', logprob: -1, top_logprobs: [{ token: 'a', logprob: -1 }] },
    ]);
    expect(response.output).toMatchObject([{ content: [{ logprobs: [logprob] }] }]);
  });
});

describe('whole answers', () => {
  it('gives the same items as the stream of it', () => {
    const message = {
      role: 'assistant',
      reasoning_content: 'hm',
      content: 'yes',
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
    };
    const answer = translator().answer(
      Buffer.from(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'tool_calls' }] })),
    );
    const { response } = translate([sse(chunk(message)), sse(chunk({}, 'tool_calls'))]);
    expect(answer).toEqual(response);
  });

  it('is null for what is no chat answer (10,000 cases)', () => {
    fc.assert(
      fc.property(jsonValue(3), (value) => {
        const answer = translator().answer(Buffer.from(JSON.stringify(value)));
        if (answer !== null) mustEqual(answer.object, 'response');
      }),
      { numRuns: 10_000 },
    );
    expect(translator().answer(Buffer.from('<html>'))).toBeNull();
  });
});

const text = anyText(5);
const delta = fc.oneof(
  fc.record({ content: text }),
  fc.record({ reasoning_content: text }),
  fc.record({ refusal: text }),
  fc.constant({ role: 'assistant' }),
  fc.record({
    tool_calls: fc.array(
      fc.record(
        {
          index: fc.integer({ min: 0, max: 2 }),
          id: fc.constantFrom('a', 'b', ''),
          function: fc.record({ name: fc.constantFrom('f', 'g', ''), arguments: text }, { requiredKeys: [] }),
        },
        { requiredKeys: ['index', 'function'] },
      ),
      { maxLength: 2 },
    ),
  }),
);
const event = fc.oneof(
  { weight: 20, arbitrary: delta.map((fields) => chunk(fields)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('stop', 'length', 'tool_calls').map((reason) => chunk({}, reason)),
  },
  { weight: 1, arbitrary: fc.constant({ error: { message: 'x', type: 'y', code: 500 } }) },
  { weight: 1, arbitrary: fc.constant({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }) },
  { weight: 1, arbitrary: jsonValue(2).map((value) => JSON.stringify(value)) },
);
/** A stream in pieces: whole events, grouped at will, ended anywhere. */
const stream = fc
  .array(fc.record({ event, border: fc.boolean() }), { maxLength: 14 })
  .chain((events) => fc.tuple(fc.constant(events), fc.boolean()))
  .map(([events, done]) => {
    const pieces = [''];
    for (const { event: value, border } of [
      ...events,
      ...(done ? [{ event: '[DONE]', border: true }] : []),
    ]) {
      if (border) pieces.push('');
      pieces[pieces.length - 1] += sse(value);
    }
    return pieces;
  });

const TERMINAL = ['response.completed', 'response.incomplete', 'response.failed'];

/** What is wrong with a sequence of events; null when nothing is. Plain comparisons: it is asked for every event of 10,000 runs. */
function faultIn(events: Fields[]): string | null {
  if (events.some((one, index) => one.sequence_number !== index)) return 'a gap in sequence_number';
  if (events[0]?.type !== 'response.created' || events[1]?.type !== 'response.in_progress')
    return 'not begun with created and in_progress';
  const last = events.at(-1) as { type: string; response: ResponseObject };
  const ends = events.filter(({ type }) => TERMINAL.includes(String(type)));
  if (ends.length !== 1 || ends[0] !== last) return 'not ended by exactly one terminal event';
  const added: Fields[] = [];
  const closed = new Set<unknown>();
  const parts = new Map<string, string>();
  for (const one of events) {
    if (one.output_index === undefined) continue;
    const place = `${one.output_index}/${one.content_index ?? 'args'}`;
    if (one.type === 'response.output_item.added') {
      if (one.output_index !== added.length) return `item added at ${one.output_index}`;
      added.push(one.item as Fields);
      continue;
    }
    const item = added[one.output_index as number];
    if (item === undefined || closed.has(one.output_index)) return `${one.type} outside of its item`;
    if (one.item_id !== undefined && one.item_id !== item.id) return `${one.type} with a foreign item_id`;
    if (String(one.type).endsWith('.delta')) parts.set(place, (parts.get(place) ?? '') + String(one.delta));
    const whole = one.text ?? one.refusal ?? one.arguments;
    if (String(one.type).endsWith('.done') && typeof whole === 'string' && whole !== (parts.get(place) ?? ''))
      return `${one.type} differs from its deltas`;
    if (one.type !== 'response.output_item.done') continue;
    closed.add(one.output_index);
    if ((one.item as Fields).id !== item.id) return 'an item changed its id';
  }
  if (last.type === 'response.failed') return null;
  if (closed.size !== added.length) return 'an item stayed open';
  return last.response.output.length === added.length ? null : 'the response has other items';
}

describe('any stream, cut anywhere', () => {
  it('becomes a valid sequence of events with the same content (10,000 cases)', () => {
    fc.assert(
      fc.property(stream, (pieces) => {
        const { events, response } = translate(pieces);
        mustEqual(faultIn(events), null);
        const delivered = emptyDelivered();
        const all = pieces.join('');
        const errorAt = all.search(/data: (?!\{(?!"error")|\[DONE\])/);
        addEvents(delivered, errorAt < 0 ? all : all.slice(0, errorAt));
        const choice = choiceOf(delivered, 0);
        const textOf = (type: string, part: string) =>
          response.output
            .filter((item) => item.type === type)
            .flatMap((item) => item.content as Fields[])
            .filter((one) => one.type === part)
            .map((one) => one.text)
            .join('');
        mustEqual(textOf('message', 'output_text'), choice.text);
        mustEqual(textOf('reasoning', 'reasoning_text'), choice.reasoning);
        if (response.status === 'failed') return;
        const calls = response.output.filter(({ type }) => type === 'function_call');
        mustEqual(
          calls.map((call) => call.arguments).sort(),
          [...choice.toolCalls.values()].map((call) => call.arguments).sort(),
        );
      }),
      { numRuns: 10_000 },
    );
  });

  it('is read by the stock client to the response that it ends with (10,000 cases)', () => {
    fc.assert(
      fc.property(stream, (pieces) => {
        const { events, response } = translate(pieces);
        let snapshot: Response | undefined;
        for (const one of events) {
          if (one === events.at(-1) && response.status === 'failed') break;
          snapshot = accumulateResponse(one as unknown as ResponseStreamEvent, snapshot);
        }
        if (response.status !== 'failed')
          mustEqual(JSON.parse(JSON.stringify(snapshot?.output)), response.output);
      }),
      { numRuns: 10_000 },
    );
  });
});
