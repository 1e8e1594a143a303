import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonValue, validJson } from '../../../tests/support/hostile-json.ts';
import { AnthropicTranslator } from './translator.ts';

const CONTEXT = { model: 'm', requestId: 'r', stopSequences: ['END'], thinking: 'full' } as const;
const answerOf = (status: number, body: string) => {
  const { body: text, ...rest } = new AnthropicTranslator(CONTEXT).answer(status, Buffer.from(body));
  return { ...rest, json: JSON.parse(text) as Record<string, unknown> };
};

describe('a whole answer', () => {
  it('is a message or a typed error, whatever the engine sent (10,000 cases)', () => {
    const call = fc.record(
      {
        id: fc.constantFrom<unknown>('t', null),
        function: fc.record({
          name: fc.constantFrom<unknown>('f', '', null),
          arguments: fc.constantFrom<unknown>('{}', '{"a":1}', '{', '[]', 'null', '', 3),
        }),
      },
      { requiredKeys: [] },
    );
    const chat = fc.record({
      choices: fc.array(
        fc.record({
          message: fc.record({
            content: fc.oneof(fc.string(), jsonValue(1)),
            reasoning: jsonValue(1),
            tool_calls: fc.oneof(fc.array(call, { maxLength: 2 }), jsonValue(1)),
          }),
          finish_reason: fc.constantFrom<unknown>('stop', 'length', 'tool_calls', 'abort', null, 4),
        }),
        { maxLength: 2 },
      ),
      usage: jsonValue(2),
    });
    const body = fc.oneof(
      chat.map((value) => JSON.stringify(value)),
      validJson,
      fc.string(),
    );
    fc.assert(
      fc.property(body, fc.constantFrom(200, 200, 400, 404, 422, 429, 500, 503), (text, status) => {
        const answer = answerOf(status, text);
        if (answer.json.type === 'message') {
          if (answer.status !== 200 || status !== 200) throw new Error(`status ${answer.status}`);
          for (const block of answer.json.content as Record<string, unknown>[])
            if (block.type === 'tool_use' && (typeof block.input !== 'object' || block.input === null))
              throw new Error('input that is no object');
        } else if (answer.json.type !== 'error' || answer.status < 400)
          throw new Error(JSON.stringify(answer));
      }),
      { numRuns: 10_000 },
    );
  });

  it('keeps what the engine says of its error, in each of their shapes', () => {
    const message = (body: unknown) =>
      (answerOf(400, JSON.stringify(body)).json.error as { message: string }).message;
    expect(message({ error: { message: 'a', type: 'BadRequestError', code: 400 } })).toBe('a');
    expect(message({ object: 'error', message: 'b' })).toBe('b');
    expect(message({ error: 'c' })).toBe('c');
    expect(message({ detail: [{ loc: ['body'], msg: 'd' }] })).toContain('"msg":"d"');
    expect(message('x')).toBe('the engine answered with status 400');
  });

  it('tells SDKs not to send again what would fail again', () => {
    const error = (code: string) => JSON.stringify({ error: { message: 'm', code } });
    expect(answerOf(501, error('not_supported')).headers).toEqual({ 'x-should-retry': 'false' });
    expect(answerOf(429, error('saturated')).headers).toEqual({ 'x-should-retry': 'true' });
    expect(answerOf(500, error('made up by an engine')).headers).toEqual({});
  });
});
