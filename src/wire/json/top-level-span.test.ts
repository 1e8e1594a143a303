import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonObject, jsonValue } from '../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../tests/support/must.ts';
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
    const value = jsonValue(3);
    fc.assert(
      fc.property(
        jsonObject(value, { maxKeys: 4 }),
        value,
        fc.constantFrom(undefined, 1, '\t'),
        (fields, model, space) => {
          const json = Buffer.from(JSON.stringify({ ...fields, model }, null, space));
          const [span] = topLevelSpans(json, 'model');
          mustEqual(JSON.parse(json.toString('utf8', span?.start, span?.end)), model);
          const replaced = JSON.parse(replaceTopLevel(json, 'model', 'served').toString()) as unknown;
          mustEqual(replaced, { ...fields, model: 'served' });
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
    const fields = jsonObject(jsonValue(2), { maxKeys: 5 });
    fc.assert(
      fc.property(fields, fields, fc.constantFrom(undefined, 1, '\t'), (own, added, space) => {
        const json = Buffer.from(JSON.stringify(own, null, space));
        const result = JSON.parse(addTopLevel(json, added).toString()) as unknown;
        mustEqual(result, { ...added, ...own });
      }),
      { numRuns: 10_000 },
    );
  });
});
