import { describe, expect, it } from 'vitest';
import { ScriptedCore } from '../../../tests/support/scripted-core.ts';
import { PlatformError } from '../../contract/errors.ts';
import { parseChat } from './parse-generation.ts';

const parse = (fields: object) =>
  parseChat(
    new ScriptedCore({ answer: 'a' }),
    { messages: [{ role: 'user', content: 'hi' }], ...fields },
    { temperature: 1 },
  );
const refusal = (fields: object): string => {
  try {
    parse(fields);
  } catch (error) {
    if (error instanceof PlatformError) return error.message;
    throw error;
  }
  return 'taken';
};

describe('a seed', () => {
  it.each([0, -1, 2 ** 32, 2 ** 63, -(2 ** 63), null])('%d is taken', (seed) => {
    expect(refusal({ seed })).toBe('taken');
  });

  it.each([1e19, -1e19, 1.5, '1'])('%j is refused with both bounds, to the digit', (seed) => {
    expect(refusal({ seed })).toMatch(
      /^seed: found .*; expected an integer from -9223372036854775808 to 9223372036854775807$/,
    );
  });
});

describe('stream_options', () => {
  it('is for streams, as OpenAI and vLLM have it', () => {
    const options = { stream_options: { include_usage: true } };
    expect(parse({ stream: true, ...options }).includeUsage).toBe(true);
    for (const fields of [options, { stream: false, ...options }])
      expect(refusal(fields)).toBe(
        'stream_options: found an object; expected nothing, or `stream: true` beside it',
      );
    expect(refusal({ stream_options: null })).toBe('taken');
  });
});
