/** Streams, as the stock Anthropic client and its helper see them. */
import type Anthropic from '@anthropic-ai/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AnthropicFixture,
  ASK,
  startAnthropicFixture,
  textIn,
} from '../../support/anthropic-fixture.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine } from '../../support/scripted-engine.ts';

let fixture: AnthropicFixture;
let client: Anthropic;
let engine: ScriptedEngine;

beforeAll(async () => {
  fixture = await startAnthropicFixture({ working: true });
  ({ client, engine } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

describe('messages.stream', () => {
  it('gives the same message as create', async () => {
    const whole = await client.messages.create(ASK);
    const streamed = await client.messages.stream(ASK).finalMessage();
    const { id: _a, ...left } = JSON.parse(JSON.stringify(whole)) as Anthropic.Message;
    const { id: _b, parsed_output: _p, ...right } = JSON.parse(JSON.stringify(streamed)) as typeof streamed;
    expect(right).toEqual(left);
  });

  it('tells text as it comes', async () => {
    const stream = client.messages.stream(ASK);
    const texts: string[] = [];
    stream.on('text', (text) => texts.push(text));
    expect(await stream.finalText()).toBe(ANSWER_TEXT);
    expect(texts).toEqual(ANSWER);
  });

  it('sends the events in the order of the vendor', async () => {
    const types: string[] = [];
    for await (const event of client.messages.stream(ASK)) types.push(event.type);
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
    const response = await client.messages.create({ ...ASK, stream: true }).asResponse();
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
      for await (const event of client.messages.stream(ASK))
        if (event.type === 'message_start') return event.message.usage.input_tokens;
      return -1;
    };
    fixture.play({ deltas: [{ content: 'A' }], usage, continuousUsage: true });
    expect(await startOf()).toBe(30);
    fixture.play({ deltas: [{ content: 'A' }], usage });
    expect(await startOf()).toBe(0);
    expect((await client.messages.stream(ASK).finalMessage()).usage.input_tokens).toBe(30);
  });

  it('turns signs of life of the engine into pings', async () => {
    fixture.play({ deltas: [{ content: 'A' }], comments: ['keep-alive'] });
    const raw = await (await client.messages.create({ ...ASK, stream: true }).asResponse()).text();
    expect(raw).not.toContain(': keep-alive');
    expect(raw.match(/event: ping/g)).toHaveLength(2);
    expect(await client.messages.stream(ASK).finalText()).toBe('A');
  });

  it('holds a fast engine back for a slow reader, and loses nothing', async () => {
    const answer = Array.from({ length: 3_000 }, (_, index) => `${'x'.repeat(1_000)}${index}`);
    engine.base = { chat: { deltas: answer.map((content) => ({ content })) } };
    const stream = client.messages.stream(ASK);
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
