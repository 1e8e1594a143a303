import fc from 'fast-check';
import { describe, it } from 'vitest';
import { anyText, headerWord } from '../../../tests/support/hostile-text.ts';
import { valueOrRefusal } from '../../../tests/support/value-or-refusal.ts';
import { checkBearer } from './bearer-key.ts';

describe('the key of an engine', () => {
  it('lets in who sends it, however the scheme is written (10,000 cases)', () => {
    const scheme = fc.constantFrom('Bearer ', 'bearer ', 'BEARER   ');
    fc.assert(
      fc.property(headerWord, scheme, (sent, written) => {
        checkBearer({ authorization: `${written}${sent}` }, sent);
      }),
      { numRuns: 10_000 },
    );
  });

  it('lets in nobody else, and throws nothing but invalid_api_key (10,000 cases)', () => {
    const header = fc.oneof(
      headerWord.map((sent) => `Bearer ${sent}`),
      fc.constantFrom(
        'Bearer',
        'Bearer ',
        'Basic a2V5',
        ' Bearer secret',
        'Bearer secret ',
        'Bearer sec ret',
        'secret',
      ),
      anyText,
    );
    fc.assert(
      fc.property(fc.option(header, { nil: undefined }), (authorization) => {
        const read = valueOrRefusal(() => checkBearer({ authorization }, 'secret'));
        if ('value' in read) return /^bearer +secret$/i.test(authorization ?? '');
        return read.refusal.code === 'invalid_api_key';
      }),
      { numRuns: 10_000 },
    );
  });
});
