/**
 * Checks for the inside of properties with thousands of cases. There `expect` costs more than what is tested, above all for objects, so it is asked
 * only where something is wrong: for its report.
 */
import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import { type ErrorCode, PlatformError } from '../../src/contract/errors.ts';

/** As `expect(found).toEqual(wanted)`. */
export function mustEqual(found: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(found, wanted)) expect(found).toEqual(wanted);
}

/** Throws what was thrown on, unless it is the platform's refusal of that code. */
export function mustBeRefusal(thrown: unknown, code: ErrorCode): void {
  if (!(thrown instanceof PlatformError) || thrown.code !== code) throw thrown;
}
