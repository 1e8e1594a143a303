import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { replaceTopLevel, topLevelSpans } from './top-level-span.ts';

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
