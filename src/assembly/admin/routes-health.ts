/** Health of the node process and of the service, under the names that load balancers and Kubernetes use. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { AdminSystem } from './admin-system.ts';

export function addHealthRoutes(app: FastifyInstance, system: AdminSystem): void {
  const config = { policy: 'open' as const };
  const alive = async () => ({ status: 'alive' });
  const ready = async (_request: unknown, reply: FastifyReply) =>
    answer(reply, system.phase === 'serving' && system.canServe, readiness(system));
  app.get('/livez', { config }, alive);
  app.get('/health/liveliness', { config }, alive);
  app.get('/readyz', { config }, ready);
  app.get('/health/readiness', { config }, ready);
  app.get('/health', { config }, ready);
  app.get('/startupz', { config }, async (_request, reply) =>
    answer(reply, system.phase !== 'starting', system.phase),
  );
}

function readiness({ phase, canServe }: AdminSystem): string {
  if (phase !== 'serving') return phase;
  return canServe ? 'ready' : 'no replica is ready';
}

function answer(reply: FastifyReply, good: boolean, status: string) {
  return reply.status(good ? 200 : 503).send({ status });
}
