import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText } from '../../../tests/support/hostile-text.ts';
import { valueOrRefusal } from '../../../tests/support/value-or-refusal.ts';
import { listPage, readPageQuery } from './list-page.ts';

const LIMITS = { limit: 20, limitMax: 100 };

describe('the query of a page', () => {
  it('is read as it was written (10,000 cases)', () => {
    const page = fc.record({
      limit: fc.integer({ min: 1, max: LIMITS.limitMax }),
      after: fc.option(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 })),
      order: fc.constantFrom('asc' as const, 'desc' as const),
    });
    fc.assert(
      fc.property(page, ({ limit, after, order }) => {
        const query = new URLSearchParams({ limit: String(limit), order, ...(after !== null && { after }) });
        expect(readPageQuery(query.toString(), LIMITS)).toEqual({ limit, after, order });
      }),
      { numRuns: 10_000 },
    );
  });

  it('has defaults', () => {
    expect(readPageQuery('', LIMITS)).toEqual({ limit: 20, after: null, order: 'desc' });
  });

  it('that is nothing of the kind is refused by name; nothing else is thrown (10,000 cases)', () => {
    const part = fc.oneof(
      fc.constantFrom(
        'limit',
        'after',
        'order',
        '=',
        '&',
        'asc',
        'desc',
        '100',
        '101',
        '-1',
        '0',
        '%',
        '+',
        '٣',
      ),
      anyText,
    );
    const query = fc.array(part, { maxLength: 9 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(query, (text) => {
        const read = valueOrRefusal(() => readPageQuery(text, LIMITS));
        if ('refusal' in read) return ['limit', 'after', 'order'].includes(read.refusal.param ?? '');
        const { limit, after } = read.value;
        return limit >= 1 && limit <= LIMITS.limitMax && after !== '';
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('a page', () => {
  it.each([
    [0, []],
    [2, ['a', 'b']],
    [3, ['a', 'b']],
  ])('of %i found objects says whether there are more', (found, shown) => {
    const objects = ['a', 'b', 'c'].slice(0, found).map((id) => ({ id }));
    expect(listPage(objects, 2)).toEqual({
      object: 'list',
      data: shown.map((id) => ({ id })),
      first_id: shown[0] ?? null,
      last_id: shown.at(-1) ?? null,
      has_more: found > 2,
    });
  });
});
