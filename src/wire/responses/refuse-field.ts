/** Refusals of a field of a Responses request, in the words of all our refusals: the field, what was found, what is right. */
import { PlatformError } from '../../contract/errors.ts';
import { showFound } from '../json/parse-object.ts';

export function refuseField(param: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${expected}`, {
    param,
  });
}

/** The text of an optional field; null stands for "not given" all over this API. */
export function optionalString(fields: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = fields[name] ?? null;
  if (value !== null && typeof value !== 'string') throw refuseField(name, value, 'a string or null');
  return value;
}

export function optionalBoolean(fields: Readonly<Record<string, unknown>>, name: string): boolean | null {
  const value = fields[name] ?? null;
  if (value !== null && typeof value !== 'boolean') throw refuseField(name, value, 'true, false or null');
  return value;
}

export function optionalNumber(fields: Readonly<Record<string, unknown>>, name: string): number | null {
  const value = fields[name] ?? null;
  if (value !== null && typeof value !== 'number') throw refuseField(name, value, 'a number or null');
  return value;
}
