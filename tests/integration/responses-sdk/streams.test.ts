/** Streams of responses, as the stock client and its helper see them, also of engines that run for real. */
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EmbeddedUnderTest } from '../../support/embedded-under-test.ts';
import { poolOf, startGateway } from '../../support/gateway-under-test.ts';
import {
  eventsOf,
  failure,
  type ResponsesFixture,
  startResponsesFixture,
  TWO_CALLS,
  WEATHER,
} from '../../support/responses-fixture.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine } from '../../support/scripted-engine.ts';
import { startSimulator, stopSimulators } from '../../support/simulator-under-test.ts';

let fixture: ResponsesFixture;
let client: OpenAI;
let engine: ScriptedEngine;

beforeAll(async () => {
  fixture = await startResponsesFixture();
  ({ client, engine } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

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
    engine.next = [{ chat: { deltas: TWO_CALLS } }];
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
    engine.next = [
      { chat: { deltas: [{ reasoning_content: 'H' }, { reasoning_content: 'm.' }, { refusal: 'No.' }] } },
    ];
    const events = await eventsOf(await client.responses.create({ model: 'm', input: 'Hi', stream: true }));
    const done = (type: string) => events.find((event) => event.type === type);
    expect(done('response.reasoning_text.done')).toMatchObject({ text: 'Hm.' });
    expect(done('response.refusal.done')).toMatchObject({ refusal: 'No.' });
  });

  it('are parsed by the helper when they are structured', async () => {
    const Weather = z.object({ city: z.string() });
    engine.next = [{ chat: { deltas: [{ content: '{"city":' }, { content: '"Paris"}' }] } }];
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
    engine.base = { chat: { deltas: [{ reasoning_content: 'Hm' }, { content: 'Yes' }] }, dieAfter: 1 };
    const events = await eventsOf(await client.responses.create({ model: 'm', input: 'Hi', stream: true }));
    const last = events.at(-1);
    expect(last).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error' } },
    });
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
    const own = await startGateway([poolOf('sim', [{ url: simulator.url }])], {
      queueSizeMax: 500,
      // On a machine with work beside it, the last of them waits longer than the tests' five seconds.
      queueTimeoutMs: 60_000,
    });
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
