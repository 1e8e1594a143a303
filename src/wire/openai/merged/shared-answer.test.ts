import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { validJson } from '../../../../tests/support/hostile-json.ts';
import { mustEqual } from '../../../../tests/support/must.ts';
import { type Sharer, shareAnswer, shareOut } from './shared-answer.ts';

const sharer = (requestId: string, change: Partial<Sharer> = {}): Sharer => ({
  requestId,
  units: 1,
  weight: 1,
  top: null,
  ...change,
});
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const bodies = (answer: unknown, sharers: Sharer[]) =>
  shareAnswer(bytes(answer), sharers)?.map(({ body }) => JSON.parse(body.toString()) as unknown);

describe('shareAnswer', () => {
  it('gives each request its items, numbered anew, with its own id and its part of the usage', () => {
    const answer = {
      id: 'embd-first',
      object: 'list',
      created: 7,
      model: 'm',
      data: [0, 1, 2].map((index) => ({ index, object: 'embedding', embedding: [index, 0.5] })),
      usage: { prompt_tokens: 10, total_tokens: 10, completion_tokens: 0, prompt_tokens_details: null },
    };
    const sharers = [sharer('first', { weight: 4 }), sharer('second', { units: 2, weight: 6 })];
    const [one, two] = bodies(answer, sharers) as Record<string, unknown>[];
    expect(one).toEqual({
      ...answer,
      data: [{ index: 0, object: 'embedding', embedding: [0, 0.5] }],
      usage: { prompt_tokens: 4, total_tokens: 4, completion_tokens: 0, prompt_tokens_details: null },
    });
    expect(two).toEqual({
      ...answer,
      id: 'embd-second',
      data: [
        { index: 0, object: 'embedding', embedding: [1, 0.5] },
        { index: 1, object: 'embedding', embedding: [2, 0.5] },
      ],
      usage: { prompt_tokens: 6, total_tokens: 6, completion_tokens: 0, prompt_tokens_details: null },
    });
    expect(shareAnswer(bytes(answer), sharers)?.map(({ usage }) => usage?.promptTokens)).toEqual([4, 6]);
  });

  it('changes no byte of what the engine wrote in an item but its number', () => {
    const answer =
      '{"data":[{"embedding":[1e-05, 0.10000000000000001],"index" : 0},{"index":1,"embedding":"AACAPw=="}]}';
    const [one, two] = shareAnswer(bytes(answer), [sharer('a'), sharer('b')]) ?? [];
    expect(one?.body.toString()).toBe('{"data":[{"embedding":[1e-05, 0.10000000000000001],"index" : 0}]}');
    expect(two?.body.toString()).toBe('{"data":[{"index":0,"embedding":"AACAPw=="}]}');
    expect(two?.usage).toBeNull();
  });

  it('keeps the order of scores, and to each as many of the best as it wants', () => {
    const answer = {
      results: [
        { index: 2, relevance_score: 0.9 },
        { index: 0, relevance_score: 0.7 },
        { index: 1, relevance_score: 0.1 },
      ],
      usage: { total_tokens: 3 },
    };
    expect(bodies(answer, [sharer('a', { units: 2, weight: 2, top: 1 }), sharer('b')])).toEqual([
      { results: [{ index: 0, relevance_score: 0.7 }], usage: { total_tokens: 2 } },
      { results: [{ index: 0, relevance_score: 0.9 }], usage: { total_tokens: 1 } },
    ]);
  });

  it.each([
    ['too few items', { data: [{ index: 0 }] }],
    ['too many', { data: [{ index: 0 }, { index: 1 }, { index: 2 }] }],
    ['an item twice', { data: [{ index: 0 }, { index: 0 }] }],
    ['a number that no input has', { data: [{ index: 0 }, { index: 2 }] }],
    ['no numbers', { data: [{}, {}] }],
    ['numbers that are texts', { data: [{ index: '0' }, { index: '1' }] }],
    ['no list', { object: 'list' }],
    ['two lists', { data: [{ index: 0 }, { index: 1 }], results: [] }],
    ['a list alone', [{ index: 0 }, { index: 1 }]],
    ['no JSON', '<html>'],
    ['nothing', ''],
    ['more behind it', '{"data":[{"index":0},{"index":1}]}x'],
    ['an end that is cut off', '{"data":[{"index":0},{"index":1}'],
    ['a vector that is cut off', '{"data":[{"index":0},{"index":1,"embedding":[1,2'],
  ])('shares out nothing that holds %s', (_, answer) => {
    expect(shareAnswer(bytes(answer), [sharer('a'), sharer('b')])).toBeNull();
  });

  it('shares out any answer as one who parses it would (property)', () => {
    const usage = fc.option(fc.nat(10_000), { nil: undefined });
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 }),
        fc.array(validJson, { minLength: 1, maxLength: 3 }),
        usage,
        fc.boolean(),
        (units, values, total, reversed) => {
          const count = units.reduce((sum, one) => sum + one, 0);
          const items = Array.from(
            { length: count },
            (_, index) => `{"value":${values[index % values.length]}, "index":${index}}`,
          );
          if (reversed) items.reverse();
          const used =
            total === undefined ? '' : `,"usage":{"prompt_tokens":${total},"total_tokens":${total}}`;
          const answer = `{ "extra" : ${values[0]},"data":[${items.join(' ,')}]${used}}`;
          const shares = shareAnswer(
            bytes(answer),
            units.map((one, place) => sharer(`r${place}`, { units: one, weight: place + 1 })),
          );
          const parsed = JSON.parse(answer) as { data: { index: number }[]; extra: unknown };
          let offset = 0;
          for (const [place, share] of (shares ?? []).entries()) {
            const body = JSON.parse(share.body.toString()) as typeof parsed;
            const first = offset;
            offset += units[place] as number;
            const own = parsed.data
              .filter(({ index }) => index >= first && index < offset)
              .map((item) => ({ ...item, index: item.index - first }));
            mustEqual(body.data, own);
            mustEqual(body.extra, parsed.extra);
          }
          mustEqual(shares?.length, units.length);
          if (total === undefined) return;
          mustEqual(
            shares?.reduce((sum, share) => sum + (share.usage?.promptTokens ?? 0), 0),
            total,
          );
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('reads any bytes to an end, and shares out none that a parser refuses at the places that it looks at (property)', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), validJson.map(bytes)), fc.nat(), (any, cut) => {
        shareAnswer(Buffer.from(any), [sharer('a')]);
        const answer = bytes({ data: [{ index: 0, text: '[]{}"\\' }], usage: { prompt_tokens: 1 } });
        const part = answer.subarray(0, cut % answer.length);
        mustEqual(shareAnswer(part, [sharer('a')]), null);
      }),
      { numRuns: 3_000 },
    );
  });
});

it('shares out whole numbers in proportion, to the last one (property)', () => {
  expect(shareOut(10, [1, 1, 1])).toEqual([4, 3, 3]);
  fc.assert(
    fc.property(
      fc.nat(1_000_000),
      fc.array(fc.double({ min: 0.25, max: 10_000, noNaN: true }), { minLength: 1, maxLength: 64 }),
      (total, weights) => {
        const shares = shareOut(total, weights);
        const sum = weights.reduce((all, one) => all + one, 0);
        mustEqual(
          shares.reduce((all, one) => all + one, 0),
          total,
        );
        mustEqual(
          shares.every(
            (share, place) => Math.abs(share - (total * (weights[place] as number)) / sum) < 1.001,
          ),
          true,
        );
      },
    ),
    { numRuns: 3_000 },
  );
});
