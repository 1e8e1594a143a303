import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyText } from '../../../../tests/support/hostile-text.ts';
import { valueOrRefusal } from '../../../../tests/support/value-or-refusal.ts';
import { readUploadFields } from './file-object.ts';

const PURPOSES = ['assistants', 'batch', 'evals', 'fine-tune', 'user_data', 'vision'];
const purpose = fc.constantFrom(...PURPOSES);
/** An hour to thirty days. */
const seconds = fc.integer({ min: 3_600, max: 2_592_000 });

describe('the fields of an upload', () => {
  it('are read as they were written (10,000 cases)', () => {
    fc.assert(
      fc.property(purpose, fc.option(seconds), (named, span) => {
        const fields = new Map([['purpose', named]]);
        if (span !== null) {
          fields.set('expires_after[anchor]', 'created_at');
          fields.set('expires_after[seconds]', String(span));
        }
        const ttlMs = span === null ? null : span * 1_000;
        expect(readUploadFields(fields)).toEqual({ purpose: named, ttlMs });
      }),
      { numRuns: 10_000 },
    );
  });

  it('are refused by name when they are wrong; nothing else is thrown (10,000 cases)', () => {
    const name = fc.constantFrom(
      'purpose',
      'expires_after[anchor]',
      'expires_after[seconds]',
      'expires_after',
    );
    const text = fc.oneof(
      purpose,
      fc.constantFrom('created_at', '3600', '03600', '3599', '1e4', '-3600', ' 3600', '999999999', '٣٦٠٠'),
      anyText,
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, text), { maxLength: 4 }), (pairs) => {
        const read = valueOrRefusal(() => readUploadFields(new Map(pairs)));
        if ('refusal' in read) return /^(purpose|expires_after)/.test(read.refusal.param ?? '');
        return PURPOSES.includes(read.value.purpose) && (read.value.ttlMs ?? 3_600_000) >= 3_600_000;
      }),
      { numRuns: 10_000 },
    );
  });
});
