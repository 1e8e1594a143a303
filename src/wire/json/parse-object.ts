/** Bodies that must be a JSON object, and found values as error messages show them. Shared by gateway and engine dialects. */
import { isUtf8 } from 'node:buffer';
import { PlatformError } from '../../contract/errors.ts';

const FOUND_CHARS_MAX = 80;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A found value in an error message: short, and its type where the value would not help. */
export function showFound(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isRecord(value)) return 'an object';
  const text = JSON.stringify(value);
  return text.length > FOUND_CHARS_MAX ? `${text.slice(0, FOUND_CHARS_MAX - 3)}...` : text;
}

/** Throws PlatformError `invalid_json`. */
export function parseJsonObject(bytes: Buffer): Record<string, unknown> {
  if (bytes.length === 0)
    throw new PlatformError('invalid_json', 'the body is empty; expected a JSON object');
  if (!isUtf8(bytes)) throw new PlatformError('invalid_json', 'the body is not valid UTF-8');
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
