/** What the system is doing: for the CLI and the status page as JSON, for Prometheus as text. */
import type { FastifyInstance } from 'fastify';
import { PlatformError } from '../../contract/errors.ts';
import type { AdminSystem } from './admin-system.ts';

const FACTS_DEFAULT = 100;
const FACTS_MAX = 1_000;

export function addStatusRoutes(app: FastifyInstance, system: AdminSystem): void {
  const config = { policy: 'read' as const };
  app.get('/api/v1/status', { config }, () => system.status());
  app.get<{ Querystring: { limit?: string } }>('/api/v1/facts', { config }, async ({ query }) => ({
    facts: system.facts(readLimit(query.limit)),
  }));
  app.get('/metrics', { config }, async (_request, reply) => {
    reply.header('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    return system.metrics();
  });
}

function readLimit(text: unknown): number {
  if (text === undefined) return FACTS_DEFAULT;
  const limit = typeof text === 'string' && /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= FACTS_MAX) return limit;
  throw new PlatformError(
    'invalid_request',
    `found limit=${JSON.stringify(text)?.slice(0, 40)}; would be right: an integer from 1 to ${FACTS_MAX}`,
    { param: 'limit' },
  );
}
