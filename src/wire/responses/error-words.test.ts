import { describe, expect, it } from 'vitest';
import { errorInResponsesWords } from './error-words.ts';

const told = (error: object) =>
  JSON.parse(errorInResponsesWords(Buffer.from(JSON.stringify({ error }))).toString()).error;

describe('an error of the engine', () => {
  it.each([
    ['max_tokens: found -1', 'max_tokens', 'max_output_tokens: found -1', 'max_output_tokens'],
    ['max_completion_tokens must be at least 1', null, 'max_output_tokens must be at least 1', null],
    [
      'response_format.json_schema.schema.type: found 1',
      'response_format.json_schema.schema.type',
      'text.format.schema.type: found 1',
      'text.format.schema.type',
    ],
    ['reasoning_effort: found "x"', 'reasoning_effort', 'reasoning.effort: found "x"', 'reasoning.effort'],
    ['tools[1].function.name: found 1', 'tools[1].function.name', 'tools[1].name: found 1', 'tools[1].name'],
    ['too long', 'messages[3].content', 'too long', 'input'],
    ['temperature: found 9', 'temperature', 'temperature: found 9', 'temperature'],
  ])('%s (%s) names the field that the client sent', (message, param, ours, ourParam) => {
    const error = { type: 'invalid_request_error', code: 'invalid_request' };
    expect(told({ ...error, message, param })).toEqual({ ...error, message: ours, param: ourParam });
  });

  it.each(['max_tokens', '{"detail":"max_tokens"}', '[1]'])('in another shape stays as it is: %s', (text) => {
    expect(errorInResponsesWords(Buffer.from(text)).toString()).toBe(text);
  });
});
