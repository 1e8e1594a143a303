import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mustEqual } from '../../../tests/support/must.ts';
import { canonicalTarget, headerFault } from './canonical-request.ts';

describe('canonicalTarget', () => {
  it.each([
    ['/v1/models', 'h', { path: '/v1/models', query: '' }],
    ['/v1/models/', 'h', { path: '/v1/models', query: '' }],
    ['/v1/models?a=b?c', 'h', { path: '/v1/models', query: 'a=b?c' }],
    ['http://h:8080/v1/models', 'H:8080', { path: '/v1/models', query: '' }],
    ['/v1/models/org%20x', 'h', { path: '/v1/models/org%20x', query: '' }],
    ['/v1/models/org%2Fx', 'h', { path: '/v1/models/org%2Fx', query: '' }],
  ])('%s', (target, host, expected) => {
    expect(canonicalTarget(target, host)).toEqual(expected);
  });

  it.each([
    '//admin',
    '/v1//models',
    '/v1/../admin',
    '/v1/./models',
    '/v1/..',
    '/a\\b',
    '/v1/%2e%2e/admin',
    '/v1%2fmodels',
    '/v1/models%2fx',
    '/v1/models/x%2f%2e%2e',
    '/v1/chat/x%2fcompletions',
    '/a%00',
    '/a%5Cb',
    'http://other/v1/models',
    'admin',
    '/a#b',
    '',
  ])('refuses %s', (target) => {
    expect(canonicalTarget(target, 'h')).toHaveProperty('refused');
  });

  it('accepts no path that another parser could resolve elsewhere (10,000 cases)', () => {
    const piece = fc.constantFrom(
      ...[
        'a',
        'v1',
        'models',
        '.',
        '..',
        '%2e',
        '%2E',
        '%2f',
        '%5c',
        '\\',
        ';',
        ':',
        '@',
        '~',
        '%20',
        '%c3%a9',
      ],
      ...['%00', '%0a', '+', '!', '*', "'", '(', ',', '=', '$', '&'],
    );
    const segment = fc.array(piece, { maxLength: 3 }).map((pieces) => pieces.join(''));
    const path = fc.array(segment, { maxLength: 5 }).map((segments) => `/${segments.join('/')}`);
    fc.assert(
      fc.property(path, (path) => {
        const target = canonicalTarget(path, 'h');
        if ('refused' in target) return;
        const resolved = new URL(target.path, 'http://h').pathname;
        mustEqual(resolved, target.path);
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('headerFault', () => {
  it.each([
    [['Host', 'a', 'Host', 'b'], '1.1', /"host" appears more than once/],
    [['Authorization', 'a', 'authorization', 'b'], '1.1', /more than once/],
    [['Authorization', 'a', 'X-Api-Key', 'b'], '1.1', /send one/],
    [['X_User', 'root'], '1.1', /contains "_"/],
    [['Transfer-Encoding', 'gzip, chunked'], '1.1', /only "chunked"/],
    [['Transfer-Encoding', 'chunked'], '1.0', /HTTP\/1.0/],
    [['__proto__', 'x'], '1.1', /contains "_"/],
  ])('refuses %j', (headers, version, expected) => {
    expect(headerFault(headers, version)).toMatch(expected);
  });

  it('lets ordinary headers pass', () => {
    expect(
      headerFault(['Host', 'a', 'Accept', '*/*', 'Accept', 'x', 'Transfer-Encoding', 'chunked'], '1.1'),
    ).toBeNull();
  });

  it('lets no second copy of a header through that decides on caller or length (10,000 cases)', () => {
    const name = fc.oneof(
      fc.constantFrom('Host', 'host', 'Authorization', 'X-Api-Key', 'Content-Length', 'Transfer-Encoding'),
      fc.string({ minLength: 1, maxLength: 12 }),
    );
    const header = fc.tuple(name, fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('chunked', '0')));
    fc.assert(
      fc.property(fc.array(header, { maxLength: 6 }), fc.constantFrom('1.0', '1.1'), (list, version) => {
        const fault = headerFault(list.flat(), version);
        const names = list.map(([one]) => one.toLowerCase());
        const count = (wanted: string) => names.filter((one) => one === wanted).length;
        const doubled = ['host', 'authorization', 'x-api-key', 'content-length', 'transfer-encoding'].some(
          (one) => count(one) > 1,
        );
        if (doubled || count('authorization') + count('x-api-key') > 1) mustEqual(fault !== null, true);
        if (fault !== null) mustEqual(fault.length < 200, true);
      }),
      { numRuns: 10_000 },
    );
  });
});
