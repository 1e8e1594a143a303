/** Pages of lists as the OpenAI dialect has them: a cursor (`after`), a limit and an order in, a list object out. */
import { PlatformError } from '../../contract/errors.ts';

export interface PageQuery {
  limit: number;
  after: string | null;
  order: 'asc' | 'desc';
}

const ID_CHARACTERS_MAX = 200;

/** Throws `invalid_request`. */
export function readPageQuery(query: string, limits: { limit: number; limitMax: number }): PageQuery {
  const fields = new URLSearchParams(query);
  const limit = fields.get('limit');
  const order = fields.get('order') ?? 'desc';
  const after = fields.get('after');
  if (limit !== null && !(/^\d{1,6}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= limits.limitMax))
    throw wrong('limit', limit, `a whole number from 1 to ${limits.limitMax}`);
  if (order !== 'asc' && order !== 'desc') throw wrong('order', order, '"asc" or "desc"');
  if (after !== null && (after === '' || after.length > ID_CHARACTERS_MAX))
    throw wrong('after', after, 'the id of the last object of the page before');
  return { limit: limit === null ? limits.limit : Number(limit), after, order };
}

/** `objects` may hold one more than the limit: then there are more. */
export function listPage(
  objects: readonly Record<string, unknown>[],
  limit: number,
): Record<string, unknown> {
  const data = objects.slice(0, limit);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: objects.length > limit,
  };
}

export function unknownCursor(after: string | null): PlatformError {
  return wrong('after', after ?? '', 'the id of an object of this list');
}

function wrong(param: string, found: string, right: string): PlatformError {
  const shown = JSON.stringify(found.slice(0, 80));
  return new PlatformError('invalid_request', `${param}: found ${shown}; expected ${right}`, { param });
}
