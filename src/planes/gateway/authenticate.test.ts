import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { FakeExchange } from '../../../tests/support/fake-exchange.ts';
import { anyText, headerWord } from '../../../tests/support/hostile-text.ts';
import { valueOrRefusal } from '../../../tests/support/value-or-refusal.ts';
import { FILLER_OWNER_HEADER } from '../../contract/filler.ts';
import { fillerOwner, KeyRing } from './authenticate.ts';

const sha256 = (key: string) => hash('sha256', key, 'hex');
const withHeaders = (headers: Record<string, string>) => new FakeExchange('GET', '/', '', headers);

describe('keys', () => {
  it('let in whoever sends one, by its name, in either header (10,000 cases)', () => {
    fc.assert(
      fc.property(headerWord, fc.string(), fc.boolean(), (sent, name, isBearer) => {
        const ring = new KeyRing([{ name, sha256: sha256(sent) }], '0.0.0.0');
        const headers: Record<string, string> = isBearer
          ? { authorization: `Bearer ${sent}` }
          : { 'x-api-key': sent };
        return ring.authenticate(withHeaders(headers))?.name === name;
      }),
      { numRuns: 10_000 },
    );
  });

  it('let in nobody else, and nothing but invalid_api_key is thrown (10,000 cases)', () => {
    const ring = new KeyRing([{ name: 'ada', sha256: sha256('sk-ada') }], '127.0.0.1');
    const text = fc.oneof(
      headerWord.map((sent) => `Bearer ${sent}`),
      fc.constantFrom('Bearer', 'Bearer sk-ada ', 'Bearer  sk-ada', 'Basic sk-ada', 'sk-ada', ' sk-ada'),
      anyText,
    );
    const headers = fc.record({ authorization: text, 'x-api-key': text }, { requiredKeys: [] });
    fc.assert(
      fc.property(headers, (sent) => {
        const read = valueOrRefusal(() => ring.authenticate(withHeaders(sent as Record<string, string>)));
        if ('refusal' in read) return read.refusal.code === 'invalid_api_key';
        const bearer = /^bearer +sk-ada$/i.test(sent.authorization ?? '');
        return read.value?.name === 'ada' && (bearer || sent['x-api-key'] === 'sk-ada');
      }),
      { numRuns: 10_000 },
    );
  });

  it('are not needed on this machine, but by pages from elsewhere (10,000 cases)', () => {
    const ring = new KeyRing([], '127.0.0.1');
    const host = fc.oneof(
      fc.constantFrom('localhost', '127.0.0.1', '127.9.9.9', '[::1]', '127.1', 'LOCALHOST:3000'),
      fc.constantFrom('127.0.0.1.evil.example', 'localhost.evil.example', 'evil.example#localhost', '[::2]'),
      headerWord,
    );
    const page = fc.tuple(fc.constantFrom('http', 'https', 'file'), host).map(([by, at]) => `${by}://${at}`);
    const origin = fc.oneof(page, fc.constantFrom('null', '', 'http://'), anyText);
    fc.assert(
      fc.property(origin, (sent) => {
        const read = valueOrRefusal(() => ring.authenticate(withHeaders({ origin: sent })));
        if ('refusal' in read) return read.refusal.code === 'forbidden';
        return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(sent).hostname);
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('the key of the runner of batches', () => {
  const known = sha256('filler');

  it('asks in the name of any owner (10,000 cases)', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (owner) => {
        const exchange = withHeaders({ [FILLER_OWNER_HEADER]: encodeURIComponent(owner) });
        return fillerOwner(exchange, 'filler', known) === (owner === '' ? null : owner);
      }),
      { numRuns: 10_000 },
    );
  });

  it('is refused when it is not the one, or nobody has one; an owner that is no text is refused too (10,000 cases)', () => {
    const owner = fc.oneof(fc.constantFrom('%', '%zz', '%ff', '%ED%A0%80'), anyText);
    const sent = fc.constantFrom('filler', 'filler ', '');
    fc.assert(
      fc.property(sent, fc.constantFrom(known, null), owner, (presented, knownSha256, name) => {
        const exchange = withHeaders({ [FILLER_OWNER_HEADER]: name });
        const read = valueOrRefusal(() => fillerOwner(exchange, presented, knownSha256));
        const isKnown = presented === 'filler' && knownSha256 !== null;
        if ('value' in read) return isKnown;
        return read.refusal.code === (isKnown ? 'invalid_request' : 'invalid_api_key');
      }),
      { numRuns: 10_000 },
    );
  });
});
