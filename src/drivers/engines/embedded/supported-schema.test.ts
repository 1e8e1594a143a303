import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonValue } from '../../../../tests/support/hostile-json.ts';
import { PlatformError } from '../../../contract/errors.ts';
import { withoutTail } from './json-grammar.ts';
import { supportedSchema } from './supported-schema.ts';

const refusal = (schema: Record<string, unknown>) => {
  try {
    supportedSchema(schema);
  } catch (error) {
    if (error instanceof PlatformError) return error.message;
    throw error;
  }
  return null;
};

describe('supported schema', () => {
  it('drops what only describes', () => {
    expect(supportedSchema({ type: 'string', title: 'T', description: 'D', default: 'x' })).toEqual({
      type: 'string',
    });
  });

  it('makes listed properties required, adds required ones that are not listed, and closes the object', () => {
    expect(
      supportedSchema({ type: 'object', properties: { a: { type: 'integer' } }, required: ['a', 'b'] }),
    ).toMatchObject({
      type: 'object',
      properties: { a: { type: 'integer' }, b: { $ref: '#/$defs/autoglm-any' } },
    });
  });

  it('leaves an object open that lists nothing', () => {
    expect(supportedSchema({ type: 'object' })).toHaveProperty('additionalProperties');
    expect(supportedSchema({ type: 'object', additionalProperties: false })).not.toHaveProperty(
      'additionalProperties',
    );
  });

  it('turns anyOf and lists of types into alternatives, and definitions into $defs', () => {
    const converted = supportedSchema({
      anyOf: [{ $ref: '#/definitions/one' }, { type: ['array', 'null'] }],
      definitions: { one: { const: 1 } },
    });
    expect(converted).toMatchObject({
      oneOf: [{ $ref: '#/$defs/one' }, { oneOf: [{ type: 'array' }, { type: 'null' }] }],
      $defs: { one: { const: 1 } },
    });
  });

  it.each([
    [{ type: 'string', pattern: 'a+' }, /schema\.pattern/],
    [
      { type: 'object', properties: { a: { type: 'integer', minimum: 1 } } },
      /schema\.properties\.a\.minimum/,
    ],
    [{ type: 'array', uniqueItems: true }, /uniqueItems/],
    [{ type: 'string', format: 'email' }, /found "email"/],
    [{ type: 'string', maxLength: 5000 }, /found 5000/],
    [{ type: 'array', minItems: 3, maxItems: 2 }, /minItems 3 is more than maxItems 2/],
    [{ $ref: '#/$defs/nowhere' }, /points to nothing/],
    [{ $ref: 'http://example.com' }, /\$ref/],
    [{ enum: [] }, /at least one value/],
    [{ type: [] }, /type: expected at least one type/],
    [{ enum: [{}] }, /enum\[0\]/],
    [{ type: 'wrong' }, /found "wrong"/],
    [{ allOf: [{}, {}] }, /allOf/],
    [{ properties: 3 }, /properties/],
  ])('refuses what it can not follow: %j', (schema, says) => {
    expect(refusal(schema)).toMatch(says);
  });

  it('converts or refuses any JSON', () => {
    const keyword = fc.constantFrom(
      'type',
      'properties',
      'items',
      'anyOf',
      'enum',
      '$ref',
      'required',
      'allOf',
      '$defs',
    );
    const value = fc.oneof(jsonValue(3), fc.constantFrom('object', 'array', ['string'], [{}], {}));
    fc.assert(
      fc.property(fc.dictionary(keyword, value, { maxKeys: 4 }), (schema) => {
        refusal(schema as Record<string, unknown>);
      }),
      { numRuns: 3_000 },
    );
  });

  it('takes the line breaks off the end of a grammar', () => {
    expect(withoutTail('root ::= "{" "}" "\\n\\n\\n\\n" [\\n]*\nother ::= "x"')).toBe(
      'root ::= "{" "}"\nother ::= "x"',
    );
  });
});
