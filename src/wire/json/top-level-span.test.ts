import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addTopLevel, replaceTopLevel, topLevelSpans } from './top-level-span.ts';

describe('replaceTopLevel', () => {
  it('changes the value of one key and no other byte', () => {
    const json = Buffer.from('{ "a":{"model":"x"}, "model" : "old" ,"b":["model"] }');
    expect(replaceTopLevel(json, 'model', 'new').toString()).toBe(
      '{ "a":{"model":"x"}, "model" : "new" ,"b":["model"] }',
    );
  });

  it('sees through escaped keys and quotes', () => {
    const json = Buffer.from('{"te\\"xt":"\\\\","\\u006dodel":1}');
    expect(JSON.parse(replaceTopLevel(json, 'model', 'n').toString())).toEqual({ 'te"xt': '\\', model: 'n' });
  });

  it('replaces every occurrence, so that no parser reads another value', () => {
    expect(replaceTopLevel(Buffer.from('{"model":"a","model":"b"}'), 'model', 'c').toString()).toBe(
      '{"model":"c","model":"c"}',
    );
  });

  it('agrees with JSON.parse on any object, in any spacing (10,000 cases)', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), value),
        value,
        fc.constantFrom(undefined, 1, '\t'),
        (fields, model, space) => {
          const json = Buffer.from(JSON.stringify({ ...fields, model }, null, space));
          const [span] = topLevelSpans(json, 'model');
          expect(JSON.parse(json.toString('utf8', span?.start, span?.end))).toEqual(
            JSON.parse(JSON.stringify(model)),
          );
          const expected = JSON.parse(JSON.stringify({ ...fields, model: 'served' }));
          expect(JSON.parse(replaceTopLevel(json, 'model', 'served').toString())).toEqual(expected);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

describe('addTopLevel', () => {
  it('puts in what is missing, and leaves what the client gave', () => {
    const json = Buffer.from(' { "lora": [] , "a":1}');
    expect(addTopLevel(json, { lora: [{ id: 0 }] })).toBe(json);
    expect(addTopLevel(json, { lora: 1, b: { c: 2 } }).toString()).toBe(' {"b":{"c":2}, "lora": [] , "a":1}');
    expect(addTopLevel(Buffer.from('{ }'), { b: 1 }).toString()).toBe('{"b":1 }');
  });

  it('gives any object the fields that it lacks, in any spacing (10,000 cases)', () => {
    const fields = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }));
    fc.assert(
      fc.property(fields, fields, fc.constantFrom(undefined, 1, '\t'), (own, added, space) => {
        const json = Buffer.from(JSON.stringify(own, null, space));
        const result = JSON.parse(addTopLevel(json, added).toString()) as unknown;
        expect(result).toEqual(JSON.parse(JSON.stringify({ ...added, ...own })));
      }),
      { numRuns: 10_000 },
    );
  });
});
