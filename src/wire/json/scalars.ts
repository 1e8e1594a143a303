/**
 * Numbers and texts out of JSON that others wrote. `Number` and `String` themselves throw a TypeError for an object whose `toString` is no function,
 * and JSON can hold one.
 */

/** The number that was written, also as text; NaN for anything else. */
export function numberFrom(value: unknown): number {
  return typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN;
}

/** The text that was written, also as a number, true or false; '' for anything else. */
export function textFrom(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : '';
}
