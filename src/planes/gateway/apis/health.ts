/** Health of the gateway process and of what it can reach; for load balancers, probes and the curious. */
import type { ApiCall, ApiContext, ApiRoute } from '../api-route.ts';
import { respondJson } from '../respond.ts';

export const healthRoutes: readonly ApiRoute[] = [
  ...['/livez', '/health', '/health/liveliness'].map((template) => publicPage(template, live)),
  ...['/readyz', '/startupz', '/health/readiness'].map((template) => publicPage(template, ready)),
  publicPage('/', index),
];

function publicPage(template: string, handle: ApiRoute['handle']): ApiRoute {
  return { method: 'GET', template, policy: 'public', handle };
}

function live(_gateway: ApiContext, { exchange, record }: ApiCall): void {
  respondJson(exchange, record, 200, { status: 'ok' });
}

function ready({ table, draining, settings }: ApiContext, { exchange, record }: ApiCall): void {
  const pools = table.pools.map(({ view }) => ({
    model: view.model,
    ready: view.replicas.filter(({ state }) => state === 'ready').length,
    replicas: view.replicas.length,
  }));
  const serves = !draining && pools.some((pool) => pool.ready > 0);
  respondJson(exchange, record, serves ? 200 : 503, {
    status: serves ? 'ready' : draining ? 'draining' : 'not ready',
    // Names of models are for those who may list them.
    ...(settings.keys.length === 0 && { pools }),
  });
}

function index(_gateway: ApiContext, { exchange, record }: ApiCall): void {
  respondJson(exchange, record, 200, { service: 'open-autoglm', api: '/v1', models: '/v1/models' });
}
