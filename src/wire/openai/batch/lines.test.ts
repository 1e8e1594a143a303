import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonValue, validJson } from '../../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../../tests/support/must.ts';
import { readInputLine } from './input-line.ts';
import { answeredLine, unansweredLine } from './output-line.ts';

const ENDPOINT = '/v1/chat/completions';
const right = { custom_id: 'a', method: 'POST', url: ENDPOINT, body: { model: 'm', messages: [] } };
const read = (value: unknown) =>
  readInputLine(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), ENDPOINT);

describe('readInputLine', () => {
  it('gives the body back byte for byte, unknown fields, odd spacing and big numbers included', () => {
    const body = '{ "model":"m" , "x": 12345678901234567890, "é\\u00e9" : [1,  2] }';
    const line = read(
      `{"custom_id":"a","method":"POST","body": ${body} ,"url":"${ENDPOINT}","more":{"body":1}}`,
    );
    expect(line).toMatchObject({ customId: 'a', model: 'm' });
    expect('body' in line && line.body.toString()).toBe(body);
  });

  it('sends the body that it checked when there are two', () => {
    const line = read(
      `{"body":{"model":"first"},"custom_id":"a","method":"POST","url":"${ENDPOINT}","body":{"model":"last"}}`,
    );
    expect(line).toMatchObject({ model: 'last', body: Buffer.from('{"model":"last"}') });
  });

  it.each([
    ['{"custom_id":', 'invalid_json_line', null],
    ['[]', 'invalid_json_line', null],
    ['"text"', 'invalid_json_line', null],
    [{ ...right, custom_id: undefined }, 'missing_required_parameter', 'custom_id'],
    [{ ...right, custom_id: '' }, 'missing_required_parameter', 'custom_id'],
    [{ ...right, custom_id: 7 }, 'invalid_request', 'custom_id'],
    [{ ...right, custom_id: 'x'.repeat(600) }, 'invalid_request', 'custom_id'],
    [{ ...right, method: 'GET' }, 'invalid_method', 'method'],
    [{ ...right, url: '/v1/embeddings' }, 'mismatched_endpoint', 'url'],
    [{ ...right, url: undefined }, 'mismatched_endpoint', 'url'],
    [{ ...right, body: undefined }, 'invalid_request', 'body'],
    [{ ...right, body: [] }, 'invalid_request', 'body'],
    [{ ...right, body: {} }, 'invalid_request', 'body.model'],
    [{ ...right, body: { model: 'm', stream: true } }, 'invalid_request', 'body.stream'],
  ])('refuses %j', (value, code, param) => {
    expect(read(value)).toMatchObject({ problem: { code, param } });
  });

  it('refuses bytes that are no text', () => {
    const line = readInputLine(Buffer.from([0x7b, 0xff, 0x7d]), ENDPOINT);
    expect(line).toMatchObject({ problem: { code: 'invalid_json_line' } });
  });

  it('takes any bytes without throwing, and whatever it lets through is sound (10,000 cases)', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '"custom_id"',
      ':',
      ',',
      '"a"',
      '"body"',
      '{"model":"m"}',
      '[',
      '\\',
      '1',
      'é',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(token).map((parts) => parts.join('')),
          validJson,
        ),
        (text) => {
          const line = read(text);
          if ('body' in line) mustEqual(JSON.parse(line.body.toString()).model, line.model);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

describe('output lines', () => {
  it('are one line of JSON with the answer as it came, whatever the engine wrote (10,000 cases)', () => {
    fc.assert(
      fc.property(jsonValue(3), fc.string(), fc.boolean(), (value, customId, pretty) => {
        const body = Buffer.from(JSON.stringify(value, null, pretty ? 2 : 0));
        const text = answeredLine({ id: 'batch_req_1', customId, status: 200, requestId: 'r', body });
        mustEqual(/[\r\n]/.test(text), false);
        mustEqual(JSON.parse(text), {
          id: 'batch_req_1',
          custom_id: customId,
          response: { status_code: 200, request_id: 'r', body: value },
          error: null,
        });
      }),
      { numRuns: 10_000 },
    );
  });

  it('keep numbers that JavaScript cannot hold', () => {
    const body = Buffer.from('{"id":12345678901234567890}');
    const text = answeredLine({ id: 'i', customId: 'c', status: 200, requestId: 'r', body });
    expect(text).toContain('"body":{"id":12345678901234567890}}');
  });

  it('carry what is no JSON as text', () => {
    const text = answeredLine({
      id: 'i',
      customId: 'c',
      status: 502,
      requestId: 'r',
      body: Buffer.from('<html>\n'),
    });
    expect(JSON.parse(text).response.body).toBe('<html>\n');
  });

  it('say why a line has no answer', () => {
    const error = { code: 'batch_expired', message: 'too late' };
    expect(JSON.parse(unansweredLine('i', 'c', error))).toEqual({
      id: 'i',
      custom_id: 'c',
      response: null,
      error,
    });
  });
});
