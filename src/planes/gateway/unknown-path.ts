/**
 * What a client is told of a path that does not exist: mostly its base URL has one `/v1` too few or too many, and what it
 * looks for is another path of the gateway, or one of the admin API.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { RouteTable } from './match-route.ts';

const PATH_CHARS_SHOWN = 200;
/** Paths that a path may have been meant as, in this order. */
const MEANT = [
  (path: string) => path.replace(/\/+$/, ''),
  (path: string) => `/v1${path}`,
  (path: string) => path.replace(/^(\/v1)+(?=\/v1\/)/, ''),
];
/** At the admin API, which listens on a port of its own. */
const OF_ADMIN = /^\/(metrics$|status$|api\/)/;

export function unknownPath(method: string, path: string, routes: RouteTable): PlatformError {
  const shown = `there is nothing at ${method} ${path.slice(0, PATH_CHARS_SHOWN)}`;
  const meant = MEANT.map((change) => change(path)).find((other) => isKnown(method, other, routes));
  if (meant !== undefined) {
    const base = meant.startsWith('/v1/')
      ? '? Clients of OpenAI want a base URL that ends in /v1, clients of Anthropic one that does not'
      : '?';
    return new PlatformError(
      'not_found',
      `${shown}; did you mean ${meant.slice(0, PATH_CHARS_SHOWN)}${base}`,
    );
  }
  const elsewhere = OF_ADMIN.test(path)
    ? '; status page, /metrics and the admin API are on the admin port (`admin.port`, 8081 unless set)'
    : '';
  return new PlatformError('not_found', `${shown}${elsewhere}`);
}

function isKnown(method: string, path: string, routes: RouteTable): boolean {
  return routes.match(method, path).kind === 'found';
}
