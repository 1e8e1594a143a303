/**
 * Strict reading of JSON request fields. Every refusal names the field, what was found and what would have been right.
 * `null` counts as absent, as in the OpenAI API.
 */
import { PlatformError } from '../../contract/errors.ts';
import { showFound } from '../json/parse-object.ts';

export type Fields = Readonly<Record<string, unknown>>;

export interface NumberRange {
  min: number;
  max: number;
  /** The range begins above `min`. */
  exclusiveMin?: boolean;
}

export function refuse(param: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${expected}`, {
    param,
  });
}

export function booleanField(fields: Fields, name: string, fallback: boolean): boolean {
  const value = fields[name] ?? null;
  if (value === null) return fallback;
  if (typeof value !== 'boolean') throw refuse(name, value, 'true or false');
  return value;
}

export function integerField(fields: Fields, name: string, range: NumberRange): number | undefined {
  const value = fields[name] ?? null;
  if (value === null) return undefined;
  return checkNumber(name, value, range, 'an integer');
}

export function numberField(fields: Fields, name: string, range: NumberRange): number | undefined {
  const value = fields[name] ?? null;
  if (value === null) return undefined;
  return checkNumber(name, value, range, 'a number');
}

export function checkNumber(
  param: string,
  value: unknown,
  range: NumberRange,
  kind: 'an integer' | 'a number',
): number {
  const fits =
    typeof value === 'number' &&
    (kind === 'a number' ? Number.isFinite(value) : Number.isInteger(value)) &&
    value <= range.max &&
    (range.exclusiveMin === true ? value > range.min : value >= range.min);
  if (!fits) throw refuse(param, value, `${kind} ${showRange(range)}`);
  return value;
}

function showRange({ min, max, exclusiveMin }: NumberRange): string {
  const from = exclusiveMin === true ? `above ${min}` : `of at least ${min}`;
  return Number.isFinite(max) && max < Number.MAX_SAFE_INTEGER ? `${from} and at most ${max}` : from;
}

/** A list of non-negative integers below `exclusiveMax`. */
export function idListField(
  fields: Fields,
  name: string,
  limits: { countMax: number; exclusiveMax: number },
): number[] {
  const value = fields[name] ?? null;
  if (value === null) return [];
  if (!Array.isArray(value)) throw refuse(name, value, 'an array of token ids');
  if (value.length > limits.countMax) throw refuse(name, value, `at most ${limits.countMax} token ids`);
  return checkTokenIds(name, value, limits.exclusiveMax);
}

export function checkTokenIds(param: string, ids: readonly unknown[], vocabularySize: number): number[] {
  for (const [index, id] of ids.entries()) {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabularySize) continue;
    throw refuse(`${param}[${index}]`, id, `a token id from 0 to ${vocabularySize - 1}`);
  }
  return ids as number[];
}
