/** Typed reading of request fields. A field that is null counts as not sent, as the vendor's schema has it. */
import { PlatformError } from '../../contract/errors.ts';
import { isRecord, showFound } from '../json/parse-object.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function refuse(param: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${expected}`, {
    param,
  });
}

/** For what the field asks, which is well-formed and can not be done here. */
export function refuseUse(param: string, why: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: ${why}`, { param });
}

export function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

export function stringAt(param: string, value: unknown): string {
  if (typeof value !== 'string') throw refuse(param, value, 'a string');
  return value;
}

export function nameAt(param: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw refuse(param, value, 'a string that is not empty');
  return value;
}

export function recordAt(param: string, value: unknown): Record<string, unknown> {
  if (!isRecord(value)) throw refuse(param, value, 'an object');
  return value;
}

export function arrayAt(param: string, value: unknown): unknown[] {
  if (!Array.isArray(value)) throw refuse(param, value, 'an array');
  return value;
}

/** Undefined when not sent. */
export function numberAt(fields: Fields, name: string): number | undefined {
  const value = fields[name];
  if (!isSet(value)) return undefined;
  if (typeof value !== 'number') throw refuse(name, value, 'a number');
  return value;
}

/** False when not sent. */
export function booleanAt(param: string, value: unknown): boolean {
  if (!isSet(value)) return false;
  if (typeof value !== 'boolean') throw refuse(param, value, 'true or false');
  return value;
}
