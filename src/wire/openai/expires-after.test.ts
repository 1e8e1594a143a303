import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { it } from 'vitest';
import { valueOrRefusal } from '../../../tests/support/value-or-refusal.ts';
import { expiryFrom } from './expires-after.ts';

/** An hour to thirty days. */
const seconds = fc.integer({ min: 3_600, max: 2_592_000 });

it('gives back any span that it allows (10,000 cases)', () => {
  fc.assert(
    fc.property(seconds, (span) => {
      return expiryFrom({ anchor: 'created_at', seconds: span }, 'p') === span * 1_000;
    }),
    { numRuns: 10_000 },
  );
});

it('refuses everything else by name, and throws nothing else (10,000 cases)', () => {
  const near = fc.record(
    {
      anchor: fc.oneof(fc.constant('created_at'), fc.jsonValue({ maxDepth: 1 })),
      seconds: fc.oneof(seconds, fc.double(), fc.maxSafeInteger(), fc.jsonValue({ maxDepth: 1 })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(near, fc.jsonValue({ maxDepth: 2 })), (value) => {
      const read = valueOrRefusal(() => expiryFrom(value, 'p'));
      if ('refusal' in read) return /^p(\.anchor|\.seconds)?$/.test(read.refusal.param ?? '');
      return isDeepStrictEqual(
        { ...(value as object) },
        { anchor: 'created_at', seconds: read.value / 1_000 },
      );
    }),
    { numRuns: 10_000 },
  );
});
