/** What the system is doing: for the CLI and the status page as JSON, for Prometheus as text. */
import type { FastifyInstance } from 'fastify';
import type { AdminSystem } from './admin-system.ts';
import { readLimit } from './read-limit.ts';

const FACTS_DEFAULT = 100;
const FACTS_MAX = 1_000;

export function addStatusRoutes(app: FastifyInstance, system: AdminSystem): void {
  const config = { policy: 'read' as const };
  app.get('/api/v1/status', { config }, () => system.status());
  app.get<{ Querystring: { limit?: string } }>('/api/v1/facts', { config }, async ({ query }) => ({
    facts: system.facts(readLimit(query.limit, { standard: FACTS_DEFAULT, max: FACTS_MAX })),
  }));
  app.get('/metrics', { config }, async (_request, reply) => {
    reply.header('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    return system.metrics();
  });
}
