/** `GET /v1/models`: the names that clients may use, from the newest snapshot. */

import type { ApiRoute } from '../api-route.ts';
import type { PoolEntry } from '../fleet-table.ts';
import { unknownModel } from '../places/refusals.ts';
import { respondJson } from '../respond.ts';

export const modelRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    template: '/v1/models',
    policy: 'key',
    handle: ({ table }, { exchange, record }) =>
      respondJson(exchange, record, 200, { object: 'list', data: table.served.flatMap(modelObjects) }),
  },
  {
    method: 'GET',
    template: '/v1/models/*',
    policy: 'key',
    handle: ({ table }, { exchange, record, params }) => {
      const name = params.rest ?? '';
      const pool = table.find(name);
      const found = pool === undefined ? undefined : modelObjects(pool).find(({ id }) => id === name);
      if (found === undefined) throw unknownModel(name, table.names);
      respondJson(exchange, record, 200, found);
    },
  },
];

interface ModelObject {
  id: string;
  object: 'model';
  created: number;
  owned_by: string;
  max_model_len?: number;
  /** The model that an adapter belongs to. */
  parent?: string;
}

function modelObjects({ view }: PoolEntry): ModelObject[] {
  const object = (id: string): ModelObject => ({
    id,
    object: 'model',
    created: 0,
    owned_by: 'open-autoglm',
    ...(view.contextLength !== undefined && { max_model_len: view.contextLength }),
  });
  const adapters = (view.adapters ?? []).map((name) => ({ ...object(name), parent: view.model }));
  return [...[view.model, ...view.aliases].map(object), ...adapters];
}
