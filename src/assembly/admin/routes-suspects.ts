/** Requests that may have killed engines: what is known of them, and letting one in again. */
import type { FastifyInstance } from 'fastify';
import type { AdminSystem } from './admin-system.ts';

interface SuspectParams {
  fingerprint: string;
}

export function addSuspectRoutes(app: FastifyInstance, system: AdminSystem): void {
  app.get('/api/v1/suspects', { config: { policy: 'read' } }, async () => ({ suspects: system.suspects() }));
  app.get<{ Params: SuspectParams }>(
    '/api/v1/suspects/:fingerprint',
    { config: { policy: 'read' } },
    async ({ params }) => system.suspect(params.fingerprint),
  );
  app.post<{ Params: SuspectParams }>(
    '/api/v1/suspects/:fingerprint/release',
    { config: { policy: 'act' } },
    async ({ params }) => system.releaseSuspect(params.fingerprint),
  );
}
