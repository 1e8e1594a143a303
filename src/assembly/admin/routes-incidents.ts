/** Incidents: the list, the report of one as data, Markdown and text, and what evidence there is of it. */
import type { FastifyInstance } from 'fastify';
import { reportMarkdown, reportPlainText } from '../../wire/incidents/report-text.ts';
import type { AdminSystem } from './admin-system.ts';
import { readLimit } from './read-limit.ts';

interface IncidentParams {
  id: string;
}

const LIST_DEFAULT = 50;
const LIST_MAX = 200;

export function addIncidentRoutes(app: FastifyInstance, system: AdminSystem): void {
  const config = { policy: 'read' as const };
  app.get<{ Querystring: { limit?: string } }>('/api/v1/incidents', { config }, async ({ query }) => ({
    incidents: system.incidents().slice(0, readLimit(query.limit, { standard: LIST_DEFAULT, max: LIST_MAX })),
  }));
  app.get<{ Params: IncidentParams }>('/api/v1/incidents/:id', { config }, async ({ params }) =>
    system.incident(params.id),
  );
  app.get<{ Params: IncidentParams }>('/api/v1/incidents/:id/evidence', { config }, ({ params }) =>
    system.incidentEvidence(params.id),
  );
  app.get<{ Params: IncidentParams }>(
    '/api/v1/incidents/:id/report.md',
    { config },
    async ({ params }, reply) => {
      reply.header('content-type', 'text/markdown; charset=utf-8');
      return reportMarkdown(system.incident(params.id));
    },
  );
  app.get<{ Params: IncidentParams }>(
    '/api/v1/incidents/:id/report.txt',
    { config },
    async ({ params }, reply) => {
      reply.header('content-type', 'text/plain; charset=utf-8');
      return reportPlainText(system.incident(params.id));
    },
  );
}
