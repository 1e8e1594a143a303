import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { jsonFor } from './json-text.ts';

describe('jsonFor', () => {
  const shape = z.strictObject({
    name: z.string().min(3).max(12),
    age: z.int().min(0).max(120),
    ratio: z.number().min(-1).max(1),
    tags: z
      .array(z.enum(['a', 'b']))
      .min(1)
      .max(3),
    state: z.literal('on'),
    nested: z.strictObject({ yes: z.boolean(), nothing: z.null(), either: z.union([z.string(), z.int()]) }),
  });

  it('writes documents that obey the schema, for many seeds', () => {
    const schema = z.toJSONSchema(shape) as Record<string, unknown>;
    for (let seed = 0; seed < 200; seed++) shape.parse(JSON.parse(jsonFor(schema, seed)));
  });

  it('writes the same document for the same seed', () => {
    const schema = z.toJSONSchema(shape) as Record<string, unknown>;
    expect(jsonFor(schema, 5)).toBe(jsonFor(schema, 5));
    expect(jsonFor(schema, 5)).not.toBe(jsonFor(schema, 6));
  });

  it('writes some object for the empty schema', () => {
    expect(JSON.parse(jsonFor({}, 1))).toBeTypeOf('object');
  });

  it('follows references and ends recursions', () => {
    const schema = {
      type: 'object',
      properties: { next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
      required: ['next'],
      $defs: {
        node: {
          type: 'object',
          properties: { next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          required: ['next'],
        },
      },
    };
    for (let seed = 0; seed < 50; seed++) expect(JSON.parse(jsonFor(schema, seed))).toHaveProperty('next');
  });

  it('refuses what it can not honour, with the path', () => {
    const schema = { type: 'object', properties: { zip: { type: 'string', pattern: '^[0-9]+$' } } };
    expect(() => jsonFor(schema, 1)).toThrow('can not honour $.zip.pattern');
    expect(() => jsonFor({ type: 'tuple' }, 1)).toThrow('$.type is "tuple"');
    expect(() => jsonFor({ $ref: '#/$defs/none' }, 1)).toThrow('leads nowhere');
  });
});
