/**
 * One text per JSON value: keys in order, numbers in their shortest form, no white space. Two parsed values get the same text
 * exactly when they are equal as JSON; arrays keep their order, and text is not normalised, because a model reads code points.
 */

/** Nesting beyond which nothing is written: bodies come from strangers. */
export const DEPTH_MAX = 200;

/** Null where the value can not be told apart from another: an integer beyond 2^53 has lost digits when it was parsed. */
export function canonicalJson(value: unknown, depth = 0): string | null {
  if (depth > DEPTH_MAX) return null;
  if (typeof value === 'number') return canonicalNumber(value);
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return canonicalArray(value, depth);
  if (typeof value === 'object') return canonicalObject(value as Record<string, unknown>, depth);
  return null;
}

function canonicalNumber(value: number): string | null {
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) return null;
  return JSON.stringify(value === 0 ? 0 : value);
}

function canonicalArray(items: readonly unknown[], depth: number): string | null {
  const texts: string[] = [];
  for (const item of items) {
    const text = canonicalJson(item, depth + 1);
    if (text === null) return null;
    texts.push(text);
  }
  return `[${texts.join(',')}]`;
}

function canonicalObject(object: Record<string, unknown>, depth: number): string | null {
  const texts: string[] = [];
  for (const key of Object.keys(object).sort()) {
    const text = canonicalJson(object[key], depth + 1);
    if (text === null) return null;
    texts.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${texts.join(',')}}`;
}
