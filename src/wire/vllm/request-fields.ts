/**
 * Strict reading of JSON request fields. Every refusal names the field, what was found and what would have been right.
 * `null` counts as absent, as in the OpenAI API.
 */
import { PlatformError } from '../../contract/errors.ts';

export type Fields = Readonly<Record<string, unknown>>;

export interface NumberRange {
  min: number;
  max: number;
  /** The range begins above `min`. */
  exclusiveMin?: boolean;
}

const FOUND_CHARS_MAX = 80;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A found value as an error message shows it. */
export function showFound(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isRecord(value)) return 'an object';
  const text = JSON.stringify(value);
  return text.length > FOUND_CHARS_MAX ? `${text.slice(0, FOUND_CHARS_MAX - 3)}...` : text;
}

export function refuse(param: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${param}: found ${showFound(found)}; expected ${expected}`, {
    param,
  });
}

/** The body of a request as a JSON object. */
export function parseBody(bytes: Buffer): Fields {
  if (bytes.length === 0) {
    throw new PlatformError('invalid_json', 'the body is empty; expected a JSON object');
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new PlatformError('invalid_json', `the body is not valid JSON: ${(error as Error).message}`);
  }
  if (!isRecord(parsed)) {
    throw new PlatformError('invalid_json', `the body is ${showFound(parsed)}; expected a JSON object`);
  }
  return parsed;
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
