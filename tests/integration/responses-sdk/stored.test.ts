/** Responses that are kept, as the stock client sees them: reading, deleting, conversations, background. */
import OpenAI from 'openai';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../support/gateway-under-test.ts';
import {
  eventsOf,
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
let stranger: OpenAI;

beforeAll(async () => {
  fixture = await startResponsesFixture();
  ({ client, engine, stranger } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

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
    expect(fixture.lastBody().messages).toEqual([
      { role: 'user', content: 'One' },
      { role: 'assistant', content: ANSWER_TEXT },
      { role: 'user', content: 'Two' },
      { role: 'assistant', content: ANSWER_TEXT },
      { role: 'user', content: 'Three' },
    ]);
  });

  it('carries calls of tools and their outputs through a conversation', async () => {
    engine.next = [{ chat: { deltas: TWO_CALLS } }];
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
    expect(fixture.lastBody().messages).toMatchObject([
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
    engine.next = [{ chat: { deltas: [{ reasoning_content: 'Hm.' }, ...TWO_CALLS] } }];
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
    expect(fixture.lastBody().messages).toMatchObject([
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
    expect(fixture.lastBody().messages).toEqual([
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
    expect(await fixture.untilDone(id)).toMatchObject({
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
    expect(await fixture.untilDone(id)).toMatchObject({
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
