import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonObject, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustBeRefusal, mustEqual } from '../../../tests/support/must.ts';
import type { PlatformError } from '../../contract/errors.ts';
import { translateCountRequest, translateRequest } from './request.ts';

const TRAITS = { prefill: true, lenientFields: true };
const BASE = { model: 'm', max_tokens: 16, messages: [{ role: 'user', content: 'Hi' }] };

function refusal(fields: Record<string, unknown>, traits = TRAITS): PlatformError {
  try {
    translateRequest({ ...BASE, ...fields }, traits);
  } catch (error) {
    return error as PlatformError;
  }
  throw new Error('it was not refused');
}

describe('translateRequest', () => {
  it('names the field at fault, what was found and what would be right', () => {
    expect(refusal({ max_tokens: '16' })).toMatchObject({
      code: 'invalid_request',
      param: 'max_tokens',
      message: 'max_tokens: found "16"; expected an integer of at least 1',
    });
    const nested = { messages: [{ role: 'user', content: [{ type: 'text' }] }] };
    expect(refusal(nested).message).toBe('messages.0.content.0.text: found nothing; expected a string');
    const image = { type: 'image', source: { type: 'base64', data: 'A' } };
    expect(refusal({ messages: [{ role: 'user', content: [image] }] }).param).toBe(
      'messages.0.content.0.source.media_type',
    );
  });

  it('refuses to go on inside a message where the engine can not', () => {
    const messages = [...BASE.messages, { role: 'assistant', content: 'The' }];
    expect(refusal({ messages }, { prefill: false, lenientFields: true }).message).toMatch(
      /can not go on inside/,
    );
  });

  it('sends nothing that the client did not ask for to engines that refuse unknown fields', () => {
    const { body } = translateRequest(
      { ...BASE, stream: true, thinking: { type: 'enabled', budget_tokens: 1024 } },
      { prefill: true, lenientFields: false },
    );
    expect(body).toEqual({ ...BASE, stream: true, stream_options: { include_usage: true } });
  });

  it('takes null for "not sent", as the SDK sends it', () => {
    const nulls = {
      tools: null,
      tool_choice: null,
      system: null,
      thinking: null,
      metadata: { user_id: null },
    };
    expect(translateRequest({ ...BASE, ...nulls, container: null }, TRAITS).body).toEqual(BASE);
  });

  it('counts what becomes prompt, without a limit of tokens', () => {
    const { max_tokens, ...question } = BASE;
    expect(max_tokens).toBe(16);
    expect(translateCountRequest({ ...question, system: 'S' }, TRAITS)).toEqual({
      model: 'm',
      messages: [{ role: 'system', content: 'S' }, ...BASE.messages],
    });
  });
});

const word = fc.string({ maxLength: 6 });
const name = fc.constantFrom('f', 'g', 'toolu_1');
const text = fc.record({ type: fc.constant('text'), text: word, cache_control: fc.constant(null) });
const image = fc.record({
  type: fc.constant('image'),
  source: fc.oneof(
    fc.record({ type: fc.constant('base64'), media_type: fc.constant('image/png'), data: fc.constant('AA') }),
    fc.record({ type: fc.constant('url'), url: fc.constant('https://x/y.png') }),
  ),
});
const document = fc.record(
  {
    type: fc.constant('document'),
    source: fc.oneof(
      fc.record({ type: fc.constant('text'), data: word }),
      fc.record({
        type: fc.constant('content'),
        content: fc.oneof(word, fc.array(fc.oneof(text, image), { maxLength: 3 })),
      }),
    ),
    title: word,
    context: word,
  },
  { requiredKeys: ['type', 'source'] },
);
const part = fc.oneof(text, image, document);
const result = fc.record(
  {
    type: fc.constant('tool_result'),
    tool_use_id: name,
    content: fc.oneof(word, fc.array(part, { maxLength: 3 })),
    is_error: fc.boolean(),
  },
  { requiredKeys: ['type', 'tool_use_id'] },
);
const said = fc.oneof(
  text,
  fc.record({ type: fc.constant('thinking'), thinking: word, signature: word }),
  fc.record({ type: fc.constant('redacted_thinking'), data: word }),
  fc.record({
    type: fc.constant('tool_use'),
    id: name,
    name,
    input: jsonObject(jsonValue(2), { maxKeys: 3 }),
  }),
);
const turn = fc.oneof(
  fc.record({
    role: fc.constant('user'),
    content: fc.oneof(word, fc.array(fc.oneof(part, result), { maxLength: 3 })),
  }),
  fc.record({
    role: fc.constant('assistant'),
    content: fc.oneof(word, fc.array(said, { maxLength: 3 })),
  }),
  fc.record({ role: fc.constant('system'), content: fc.oneof(word, fc.array(text, { maxLength: 2 })) }),
);
const request = fc.record(
  {
    model: fc.constant('m'),
    max_tokens: fc.integer({ min: 1, max: 9 }),
    messages: fc.array(turn, { minLength: 1, maxLength: 4 }),
    system: fc.oneof(word, fc.array(text, { maxLength: 2 })),
    stream: fc.boolean(),
    tools: fc.array(fc.record({ name, input_schema: fc.constant({ type: 'object' }) }), { maxLength: 2 }),
    tool_choice: fc.record({
      type: fc.constantFrom('auto', 'any', 'none'),
      disable_parallel_tool_use: fc.boolean(),
    }),
    thinking: fc.record({ type: fc.constantFrom('enabled', 'disabled', 'adaptive') }),
    metadata: fc.record({ user_id: fc.option(word) }),
    output_config: fc.record({ effort: fc.constantFrom('low', 'max', null) }),
    stop_sequences: fc.array(fc.string({ minLength: 1, maxLength: 2 }), { maxLength: 2 }),
    chat_template_kwargs: jsonObject(fc.boolean(), { maxKeys: 3 }),
    seed: fc.integer(),
  },
  { requiredKeys: ['messages', 'model', 'max_tokens'] },
);

/** What stands in the wrong place of a request: a value of any kind, at the end of a path that the numbers choose. */
const mistake = fc.record({
  path: fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
  value: fc.oneof(jsonValue(2), fc.constantFrom('text', 'file', 'container_upload', '__proto__')),
});

function withMistake(fields: unknown, { path, value }: { path: number[]; value: unknown }): unknown {
  const copy = structuredClone(fields) as Record<string, unknown>;
  let at: Record<string, unknown> = copy;
  for (const [depth, choice] of path.entries()) {
    const keys = Object.keys(at);
    const key = keys[choice % Math.max(1, keys.length)];
    if (key === undefined) return copy;
    const inner = at[key];
    if (depth === path.length - 1 || typeof inner !== 'object' || inner === null) {
      at[key] = value;
      return copy;
    }
    at = inner as Record<string, unknown>;
  }
  return copy;
}

function checkBody(body: ReturnType<typeof translateRequest>['body']): void {
  mustEqual(body.messages.length > 0, true);
  let before = '';
  for (const message of body.messages) {
    if (message.role === 'user' || message.role === 'assistant') mustEqual(message.role !== before, true);
    before = message.role;
    if (message.role === 'assistant')
      for (const call of message.tool_calls ?? []) JSON.parse(call.function.arguments);
  }
  for (const field of ['system', 'stop_sequences', 'metadata', 'output_config', 'thinking'])
    mustEqual(Object.hasOwn(body, field), false);
}

describe('any request', () => {
  it('is translated into a well-formed one, or refused with invalid_request and nothing else (10,000 cases)', () => {
    let translated = 0;
    fc.assert(
      fc.property(request, fc.option(mistake), fc.boolean(), (fields, wrong, prefill) => {
        const asked = (wrong === null ? fields : withMistake(fields, wrong)) as Record<string, unknown>;
        let body: ReturnType<typeof translateRequest>['body'];
        try {
          body = translateRequest(asked, { prefill, lenientFields: prefill }).body;
        } catch (error) {
          mustBeRefusal(error, 'invalid_request');
          return;
        }
        translated++;
        checkBody(body);
      }),
      { numRuns: 10_000 },
    );
    expect(translated).toBeGreaterThan(2_000);
  });
});
