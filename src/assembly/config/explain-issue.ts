/** Turns what zod found into our problems: value found, what would be right, and the key that was probably meant. */
import type { z } from 'zod';
import type { ConfigPath, ConfigProblem } from './config-problem.ts';
import { nearest } from './did-you-mean.ts';
import { describeExpectation, schemaAt } from './expectation.ts';

export interface IssueContext {
  /** The document as it was written, after substitution. */
  value: unknown;
  /** Whether the value at the path must not be printed: a key, or text that came from the environment. */
  isSecret(path: ConfigPath): boolean;
}

/** Longest piece of a found value that a message repeats. */
const SHOWN_CHARACTERS_MAX = 80;

export function explainIssue(issue: z.core.$ZodIssue, context: IssueContext): ConfigProblem[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  if (issue.code === 'custom') return [{ path, message: issue.message }];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key));
  const expected = schemaAt(path);
  const right = expected === undefined ? issue.message : describeExpectation(expected);
  const found = valueAt(context.value, path);
  if (found === undefined) return [{ path, message: `missing; would be right: ${right}` }];
  return [{ path, message: `found ${show(found, context.isSecret(path))}; would be right: ${right}` }];
}

function unknownKey(parent: ConfigPath, key: string): ConfigProblem {
  const known = Object.keys(schemaAt(parent)?.properties ?? {});
  const meant = nearest(key, known);
  const hint = meant === undefined ? `known keys: ${known.join(', ')}` : `did you mean "${meant}"?`;
  return { path: [...parent, key], message: `this key is not known; ${hint}`, atKey: true };
}

export function valueAt(value: unknown, path: ConfigPath): unknown {
  let found = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined;
    found = (found as Record<string | number, unknown>)[step];
  }
  return found;
}

function show(found: unknown, secret: boolean): string {
  if (found === null) return 'nothing (an empty value)';
  if (secret) return '[secret]';
  if (Array.isArray(found)) return `a list of ${found.length}`;
  if (typeof found === 'object') return 'a map';
  const text = typeof found === 'number' ? String(found) : (JSON.stringify(found) ?? String(found));
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}...` : text;
}
