/** What operators may do to the system. Each answers when it is done, or when what it began can no longer fail at once. */
import type { FastifyInstance } from 'fastify';
import { PlatformError } from '../../contract/errors.ts';
import type { AdminSystem } from './admin-system.ts';

interface ReplicaParams {
  pool: string;
  ordinal: string;
}

export function addActionRoutes(app: FastifyInstance, system: AdminSystem): void {
  const config = { policy: 'act' as const };
  app.post<{ Params: ReplicaParams }>('/api/v1/replicas/:pool/:ordinal/drain', { config }, ({ params }) =>
    system.drainReplica(replicaId(params)),
  );
  app.post<{ Params: ReplicaParams }>('/api/v1/replicas/:pool/:ordinal/restart', { config }, ({ params }) =>
    system.restartReplica(replicaId(params)),
  );
  app.post<{ Params: { pool: string } }>('/api/v1/pools/:pool/restart', { config }, ({ params }) =>
    system.restartPool(params.pool),
  );
  app.post('/api/v1/gateway/restart', { config }, () => system.restartGateway());
  app.post('/api/v1/node/restart', { config }, async () => system.restartNode());
  app.post('/api/v1/stop', { config }, async ({ body }) => system.stop(readImmediate(body)));
}

function replicaId({ pool, ordinal }: ReplicaParams): string {
  return `${pool}/${ordinal}`;
}

function readImmediate(body: unknown): boolean {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new PlatformError(
      'invalid_request',
      'the body is not a JSON object; would be right: {"immediate": false}',
    );
  }
  const immediate = Object.hasOwn(body, 'immediate') ? (body as { immediate: unknown }).immediate : false;
  if (typeof immediate === 'boolean') return immediate;
  throw new PlatformError(
    'invalid_request',
    `found immediate of type ${typeof immediate}; would be right: true or false`,
    {
      param: 'immediate',
    },
  );
}
