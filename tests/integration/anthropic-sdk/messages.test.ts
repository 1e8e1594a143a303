/** Whole answers, as the stock Anthropic client sees them: what is asked, what is said, what it costs, and how it ends. */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type AnthropicFixture,
  ASK,
  failure,
  MESSAGES,
  PARIS,
  startAnthropicFixture,
  textIn,
  WEATHER,
} from '../../support/anthropic-fixture.ts';
import { eventually, type RunningGateway } from '../../support/gateway-under-test.ts';
import { ANSWER, ANSWER_TEXT, type ScriptedEngine } from '../../support/scripted-engine.ts';

let fixture: AnthropicFixture;
let client: Anthropic;
let engine: ScriptedEngine;
let gateway: RunningGateway;

beforeAll(async () => {
  fixture = await startAnthropicFixture({ working: true });
  ({ client, engine, gateway } = fixture);
});

afterAll(() => fixture?.stop());

afterEach(() => fixture.reset());

describe('messages.create', () => {
  it('gives a message with all its fields', async () => {
    const message = await client.messages.create(ASK);
    expect(message).toMatchObject({
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [{ type: 'text', text: ANSWER_TEXT, citations: null }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { input_tokens: 3, output_tokens: ANSWER.length, cache_read_input_tokens: 0 },
    });
    expect(message.id).toMatch(/^msg_/);
  });

  it('answers with the request id that finds the request in the log', async () => {
    const { data, request_id, response } = await client.messages.create(ASK).withResponse();
    expect(data.type).toBe('message');
    expect(request_id).toBe(response.headers.get('x-request-id'));
    const line = await eventually(() =>
      gateway.log().find((entry) => entry['http.request.id'] === request_id),
    );
    expect(line).toMatchObject({
      'http.route': '/v1/messages',
      'http.response.status_code': 200,
      outcome: 'completed',
      prompt_tokens: 3,
    });
  });

  it('answers under the name that the client used, an alias included', async () => {
    expect((await client.messages.create({ ...ASK, model: 'claude-alias' })).model).toBe('claude-alias');
    expect(fixture.seenBody().model).toBe('m');
  });

  it('stops at max_tokens and says so', async () => {
    const message = await client.messages.create({ ...ASK, max_tokens: 2 });
    expect(message.stop_reason).toBe('max_tokens');
    expect(textIn(message)).toBe(ANSWER.slice(0, 2).join(''));
  });

  it('takes Authorization: Bearer, beta headers and another version without a word', async () => {
    const other = fixture.newClient({
      apiKey: null,
      authToken: 'any',
      defaultHeaders: { 'anthropic-beta': 'a-2025-01-01,b-2025-01-01', 'anthropic-version': '2023-06-01' },
    });
    expect(textIn(await other.messages.create(ASK))).toBe(ANSWER_TEXT);
  });

  it('serves the beta resource, which sends the same request', async () => {
    const message = await client.beta.messages.create({ ...ASK, betas: ['x-2025-01-01'] });
    expect(message.content[0]).toMatchObject({ type: 'text', text: ANSWER_TEXT });
    expect(fixture.seenBody()).not.toHaveProperty('betas');
  });

  it('passes fields of engines on, and sampling as it is', async () => {
    const extra = { guided_json: { type: 'object' }, chat_template_kwargs: { a: 1 }, seed: 7 };
    const request = { ...ASK, temperature: 0.2, top_p: 0.9, top_k: 5, ...extra };
    await client.messages.create(request);
    expect(fixture.seenBody()).toEqual({ ...request, messages: MESSAGES });
  });

  it('says how many tokens of the prompt the engine had in its cache', async () => {
    fixture.play(PARIS);
    const { usage } = await client.messages.create({ ...ASK, tools: [WEATHER] });
    expect(usage).toMatchObject({ input_tokens: 4, cache_read_input_tokens: 16, output_tokens: 9 });
  });
});

describe('system prompts', () => {
  it('may be a string', async () => {
    await client.messages.create({ ...ASK, system: 'Be brief.' });
    expect(fixture.seenBody().messages).toEqual([{ role: 'system', content: 'Be brief.' }, ...MESSAGES]);
  });

  it('may be blocks with cache marks', async () => {
    const cache_control = { type: 'ephemeral' as const };
    await client.messages.create({
      ...ASK,
      system: [
        { type: 'text', text: 'A', cache_control },
        { type: 'text', text: 'B' },
      ],
    });
    expect(fixture.seenBody().messages).toEqual([{ role: 'system', content: 'A\nB' }, ...MESSAGES]);
  });
});

describe('stop sequences', () => {
  it('name the one that was met', async () => {
    fixture.play({ deltas: [{ content: 'A' }], ending: { stop_reason: 'END' } });
    const request = { ...ASK, stop_sequences: ['END', 'no'] };
    const expected = { stop_reason: 'stop_sequence', stop_sequence: 'END' };
    expect(await client.messages.create(request)).toMatchObject(expected);
    expect(await client.messages.stream(request).finalMessage()).toMatchObject(expected);
    expect(fixture.seenBody().stop).toEqual(['END', 'no']);
  });

  it('work on the simulator', async () => {
    const request = { model: 'sim', max_tokens: 60, temperature: 0, messages: MESSAGES };
    const whole = textIn(await client.messages.create(request));
    const word = whole.split(' ').find((part) => part.length > 3 && whole.indexOf(part) > 10)!;
    const stopped = await client.messages.create({ ...request, stop_sequences: [word] });
    expect(stopped).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: word });
    expect(textIn(stopped)).toBe(whole.slice(0, whole.indexOf(word)));
  });
});

describe('what is not text', () => {
  it('reaches the engine as image parts', async () => {
    await client.messages.create({
      ...ASK,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
            { type: 'image', source: { type: 'url', url: 'https://example.org/a.png' } },
            { type: 'text', text: 'What is it?' },
          ],
        },
      ],
    });
    expect(fixture.seenBody().messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          { type: 'image_url', image_url: { url: 'https://example.org/a.png' } },
          { type: 'text', text: 'What is it?' },
        ],
      },
    ]);
  });

  it('is refused by an engine that takes text only, with the word of the engine', async () => {
    const image = { type: 'image' as const, source: { type: 'url' as const, url: 'https://x/y.png' } };
    const error = await failure(
      client.messages.create({ ...ASK, model: 'sim', messages: [{ role: 'user', content: [image] }] }),
    );
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(error.message).toContain('the model takes text only');
  });
});

describe('structured output', () => {
  const schema = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  };

  it('is parsed by the helper of the SDK, on the simulator', async () => {
    const message = await client.messages.parse({
      model: 'sim',
      max_tokens: 200,
      temperature: 0,
      messages: MESSAGES,
      output_config: { format: { type: 'json_schema', schema } },
    });
    expect(typeof (message.parsed_output as unknown as { ok: boolean }).ok).toBe('boolean');
  });
});

describe('an assistant message at the end', () => {
  it('is gone on with by engines that can', async () => {
    const started = [...MESSAGES, { role: 'assistant' as const, content: ANSWER.slice(0, 3).join('') }];
    const message = await client.messages.create({ ...ASK, messages: started });
    expect(textIn(message)).toBe(ANSWER.slice(3).join(''));
  });

  it('is refused where the engine can not', async () => {
    const started = [...MESSAGES, { role: 'assistant' as const, content: 'The' }];
    const error = await failure(client.messages.create({ ...ASK, model: 'generic', messages: started }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(engine.seen).toEqual([]);
  });
});

describe('messages.countTokens', () => {
  it('asks the tokenizer of the engine', async () => {
    expect(await client.messages.countTokens({ model: 'm', messages: MESSAGES, system: 'S' })).toEqual({
      input_tokens: 3,
    });
    expect(engine.seen.at(-1)).toMatchObject({
      path: '/tokenize',
      body: {
        model: 'm',
        messages: [{ role: 'system', content: 'S' }, ...MESSAGES],
        add_generation_prompt: true,
      },
    });
  });

  it.each(['sim', 'demo'])('counts what a message then costs: %s', async (model) => {
    const prompt = { model, messages: MESSAGES, system: 'Be brief.' };
    const { input_tokens } = await client.messages.countTokens(prompt);
    const { usage } = await client.messages.create({ ...prompt, max_tokens: 1 });
    expect(input_tokens).toBeGreaterThan(3);
    expect(usage.input_tokens + (usage.cache_read_input_tokens ?? 0)).toBe(input_tokens);
  });

  it('is refused with 501, and not guessed, where the engine can not count', async () => {
    const error = await failure(client.messages.countTokens({ model: 'generic', messages: MESSAGES }));
    expect(error).toBeInstanceOf(Anthropic.NotImplementedError);
    expect(error.type).toBe('api_error');
    expect(error.headers?.get('x-should-retry')).toBe('false');
  });

  it('says what is wrong with a prompt', async () => {
    const error = await failure(client.messages.countTokens({ model: 'm', messages: [] }));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error' });
  });
});
