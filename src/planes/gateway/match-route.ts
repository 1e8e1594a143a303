/** Finds the route of a request among those of all APIs; built once per worker. */
import { PlatformError } from '../../contract/errors.ts';
import type { ApiRoute } from './api-route.ts';

export type RouteMatch =
  | { kind: 'found'; route: ApiRoute; params: Record<string, string> }
  | { kind: 'wrong-method'; allow: string[] }
  | { kind: 'unknown' };

interface Pattern {
  route: ApiRoute;
  segments: string[];
}

export class RouteTable {
  readonly #exact = new Map<string, ApiRoute>();
  readonly #patterns: Pattern[] = [];
  readonly #routes: readonly ApiRoute[];

  /** Throws RangeError when two routes have the same method and template. */
  constructor(routes: readonly ApiRoute[]) {
    this.#routes = routes;
    for (const route of routes) {
      const key = `${route.method} ${route.template}`;
      if (this.#exact.has(key)) throw new RangeError(`two routes for ${key}`);
      this.#exact.set(key, route);
      if (/[*{]/.test(route.template)) this.#patterns.push({ route, segments: route.template.split('/') });
    }
  }

  /** `params` are still percent-encoded; see `decodeParams`. */
  match(method: string, path: string): RouteMatch {
    const asked = method === 'HEAD' ? 'GET' : method;
    const exact = this.#exact.get(`${asked} ${path}`);
    if (exact !== undefined) return { kind: 'found', route: exact, params: {} };
    const allow = new Set<string>();
    const segments = path.split('/');
    for (const pattern of this.#patterns) {
      const params = fit(pattern.segments, segments);
      if (params === null) continue;
      if (pattern.route.method === asked) return { kind: 'found', route: pattern.route, params };
      allow.add(pattern.route.method);
    }
    for (const route of this.#routes) if (route.template === path) allow.add(route.method);
    return allow.size > 0 ? { kind: 'wrong-method', allow: [...allow] } : { kind: 'unknown' };
  }
}

function fit(template: readonly string[], segments: readonly string[]): Record<string, string> | null {
  const params: Record<string, string> = {};
  for (const [index, part] of template.entries()) {
    const segment = segments[index];
    if (part === '*' && index === template.length - 1) {
      params.rest = segments.slice(index).join('/');
      return params.rest === '' ? null : params;
    }
    if (segment === undefined) return null;
    if (part.startsWith('{')) {
      if (segment === '') return null;
      params[part.slice(1, -1)] = segment;
    } else if (part !== segment) return null;
  }
  return segments.length === template.length ? params : null;
}

/** Throws `invalid_request` for a value that is not percent-encoded text. */
export function decodeParams(params: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, decode(value)]));
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new PlatformError(
      'invalid_request',
      `"${value.slice(0, 100)}" in the path is not percent-encoded text`,
    );
  }
}
