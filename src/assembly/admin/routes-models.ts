/** Models, aliases and adapters, changed while everything runs. Bodies are checked by the schema of the configuration file. */
import type { FastifyInstance } from 'fastify';
import { PlatformError } from '../../contract/errors.ts';
import type { AdminSettings } from '../config/resolve-config.ts';
import type { AdminSystem } from './admin-system.ts';

interface ModelParams {
  model: string;
}
interface AliasParams extends ModelParams {
  alias: string;
}
interface AdapterParams extends ModelParams {
  adapter: string;
}

const MODEL = '/api/v1/models/:model';
const ALIAS = `${MODEL}/aliases/:alias`;
const ADAPTER = `${MODEL}/adapters/:adapter`;

export function addModelRoutes(app: FastifyInstance, { models }: AdminSystem, settings: AdminSettings): void {
  const config = { policy: 'act' as const };
  // With keys, whoever comes so far has shown one.
  const trusted = settings.keys.length > 0;
  app.get('/api/v1/models', { config: { policy: 'read' } }, async () => models.list());
  app.post('/api/v1/models', { config }, ({ body }) =>
    models.load(
      readObject(body, '{"model_name": "qwen", "engine": "vllm", "model": "Qwen/Qwen3-8B"}'),
      trusted,
    ),
  );
  app.delete<{ Params: ModelParams }>(MODEL, { config }, ({ params }) => models.unload(params.model));
  app.patch<{ Params: ModelParams }>(MODEL, { config }, ({ params, body }) => {
    const { replicas } = readFields(body, ['replicas'], '{"replicas": 2}');
    return models.scale(params.model, replicas);
  });
  app.put<{ Params: AliasParams }>(ALIAS, { config }, ({ params, body }) => {
    const { move = false } = readFields(body, ['move'], '{"move": false}');
    if (typeof move !== 'boolean')
      throw new PlatformError(
        'invalid_request',
        `found move of type ${typeof move}; would be right: true or false`,
        { param: 'move' },
      );
    return models.setAlias(params.model, params.alias, move);
  });
  app.delete<{ Params: AliasParams }>(ALIAS, { config }, ({ params }) =>
    models.removeAlias(params.model, params.alias),
  );
  app.put<{ Params: AdapterParams }>(ADAPTER, { config }, ({ params, body }) => {
    const { path } = readFields(body, ['path'], '{"path": "/adapters/sql"}');
    return models.setAdapter(params.model, params.adapter, path);
  });
  app.delete<{ Params: AdapterParams }>(ADAPTER, { config }, ({ params }) =>
    models.removeAdapter(params.model, params.adapter),
  );
}

function readObject(body: unknown, right: string): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>;
  throw new PlatformError('invalid_request', `the body is not a JSON object; would be right: ${right}`);
}

function readFields(body: unknown, known: readonly string[], right: string): Record<string, unknown> {
  const fields = readObject(body ?? {}, right);
  const unknown = Object.keys(fields).find((key) => !known.includes(key));
  if (unknown === undefined) return fields;
  throw new PlatformError(
    'invalid_request',
    `${unknown.slice(0, 80)}: this key is not known; known keys: ${known.join(', ')}`,
    { param: unknown.slice(0, 80) },
  );
}
