/**
 * Every path of the gateway, with its policy. A route without a policy does not compile, and a path that is not here does
 * not exist.
 */
import type { InferenceEndpoint } from '../../wire/openai/envelope.ts';

export type RoutePolicy =
  /** Anybody: says nothing but whether the process is well. */
  | 'public'
  /** A key, where keys are configured. */
  | 'key';

export type RouteHandler = 'inference' | 'models' | 'model' | 'live' | 'ready' | 'index';

export interface Route {
  method: 'GET' | 'POST';
  /** Template; `*` at the end matches the rest of the path. */
  template: string;
  policy: RoutePolicy;
  handler: RouteHandler;
  endpoint?: InferenceEndpoint;
}

const ROUTES: readonly Route[] = [
  { method: 'POST', template: '/v1/chat/completions', policy: 'key', handler: 'inference', endpoint: 'chat' },
  {
    method: 'POST',
    template: '/v1/completions',
    policy: 'key',
    handler: 'inference',
    endpoint: 'completions',
  },
  { method: 'POST', template: '/v1/embeddings', policy: 'key', handler: 'inference', endpoint: 'embeddings' },
  { method: 'GET', template: '/v1/models', policy: 'key', handler: 'models' },
  { method: 'GET', template: '/v1/models/*', policy: 'key', handler: 'model' },
  { method: 'GET', template: '/livez', policy: 'public', handler: 'live' },
  { method: 'GET', template: '/health', policy: 'public', handler: 'live' },
  { method: 'GET', template: '/health/liveliness', policy: 'public', handler: 'live' },
  { method: 'GET', template: '/readyz', policy: 'public', handler: 'ready' },
  { method: 'GET', template: '/startupz', policy: 'public', handler: 'ready' },
  { method: 'GET', template: '/health/readiness', policy: 'public', handler: 'ready' },
  { method: 'GET', template: '/', policy: 'public', handler: 'index' },
];

export type RouteMatch =
  | { kind: 'found'; route: Route; rest: string }
  | { kind: 'wrong-method'; allow: string[] }
  | { kind: 'unknown' };

const EXACT = new Map<string, Route>();
for (const route of ROUTES)
  if (!route.template.endsWith('*')) EXACT.set(`${route.method} ${route.template}`, route);
const PREFIXES = ROUTES.filter((route) => route.template.endsWith('*'));

export function matchRoute(method: string, path: string): RouteMatch {
  const asked = method === 'HEAD' ? 'GET' : method;
  const exact = EXACT.get(`${asked} ${path}`);
  if (exact !== undefined) return { kind: 'found', route: exact, rest: '' };
  const allow: string[] = [];
  for (const route of PREFIXES) {
    const prefix = route.template.slice(0, -1);
    if (!path.startsWith(prefix) || path.length === prefix.length) continue;
    if (route.method === asked) return { kind: 'found', route, rest: path.slice(prefix.length) };
    allow.push(route.method);
  }
  for (const route of ROUTES) if (route.template === path) allow.push(route.method);
  return allow.length > 0 ? { kind: 'wrong-method', allow } : { kind: 'unknown' };
}
