/** `?limit=` of lists. */
import { PlatformError } from '../../contract/errors.ts';

/** Throws `invalid_request` unless it is an integer from 1 to `max`. */
export function readLimit(text: unknown, { standard, max }: { standard: number; max: number }): number {
  if (text === undefined) return standard;
  const limit = typeof text === 'string' && /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= max) return limit;
  throw new PlatformError(
    'invalid_request',
    `found limit=${JSON.stringify(text)?.slice(0, 40)}; would be right: an integer from 1 to ${max}`,
    { param: 'limit' },
  );
}
