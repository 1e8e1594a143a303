import { describe, expect, it } from 'vitest';
import type { ApiRoute } from './api-route.ts';
import { decodeParams, RouteTable } from './match-route.ts';

const route = (method: ApiRoute['method'], template: string): ApiRoute => ({
  method,
  template,
  policy: 'key',
  handle: () => {},
});
const table = new RouteTable([
  route('GET', '/v1/things'),
  route('POST', '/v1/things'),
  route('GET', '/v1/things/{id}'),
  route('DELETE', '/v1/things/{id}'),
  route('POST', '/v1/things/{id}/cancel'),
  route('GET', '/v1/models/*'),
]);
const found = (method: string, path: string) => {
  const match = table.match(method, path);
  return match.kind === 'found' ? [match.route.method, match.route.template, match.params] : match;
};

describe('RouteTable', () => {
  it('finds exact paths, paths with a value, and paths with a rest', () => {
    expect(found('POST', '/v1/things')).toEqual(['POST', '/v1/things', {}]);
    expect(found('DELETE', '/v1/things/a%2Fb')).toEqual(['DELETE', '/v1/things/{id}', { id: 'a%2Fb' }]);
    expect(found('POST', '/v1/things/7/cancel')).toEqual(['POST', '/v1/things/{id}/cancel', { id: '7' }]);
    expect(found('GET', '/v1/models/org/name')).toEqual(['GET', '/v1/models/*', { rest: 'org/name' }]);
  });

  it('answers HEAD where GET is', () => {
    expect(found('HEAD', '/v1/things')).toEqual(['GET', '/v1/things', {}]);
  });

  it('knows which methods a path takes', () => {
    expect(found('PUT', '/v1/things')).toEqual({ kind: 'wrong-method', allow: ['GET', 'POST'] });
    expect(found('PUT', '/v1/things/1')).toEqual({ kind: 'wrong-method', allow: ['GET', 'DELETE'] });
  });

  it.each([
    '/v1/things/',
    '/v1/things/1/cancel/more',
    '/v1/models/',
    '/v1',
    '/',
  ])('does not know %s', (path) => {
    expect(found('GET', path)).toEqual({ kind: 'unknown' });
  });

  it('refuses two routes of one method and template', () => {
    expect(() => new RouteTable([route('GET', '/a'), route('GET', '/a')])).toThrow('two routes for GET /a');
  });
});

it('decodes values of a path, and refuses what is not encoded', () => {
  expect(decodeParams({ id: 'a%2Fb' })).toEqual({ id: 'a/b' });
  expect(() => decodeParams({ id: '%zz' })).toThrow('not percent-encoded');
});
