/** Turns what zod found into our problems: value found, what would be right, and the key that was probably meant. */
import type { z } from 'zod';
import type { ConfigPath, ConfigProblem } from './config-problem.ts';
import { nearest } from './did-you-mean.ts';
import { describeExpectation, knownKeys, knownWords, schemaAt } from './expectation.ts';

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
  const within =
    issue.code === 'invalid_union' ? chosenForm(issue.errors, valueAt(context.value, path)) : undefined;
  if (within !== undefined)
    return within.flatMap((inner) =>
      explainIssue({ ...inner, path: [...issue.path, ...inner.path] } as z.core.$ZodIssue, context),
    );
  const expected = schemaAt(path);
  const right = expected === undefined ? issue.message : describeExpectation(expected);
  const found = valueAt(context.value, path);
  if (found === undefined) return [{ path, message: `missing; would be right: ${right}` }];
  const secret = context.isSecret(path);
  const meant = typeof found === 'string' && !secret ? nearest(found, knownWords(expected)) : undefined;
  const hint = meant === undefined || meant === found ? '' : `did you mean "${meant}"? `;
  return [{ path, message: `found ${show(found, secret)}; ${hint}would be right: ${right}` }];
}

/** Of the forms that a value may have, the only one whose kind (map, text) it is: what is wrong in it is told, not that it is none. */
function chosenForm(forms: readonly z.core.$ZodIssue[][], value: unknown): z.core.$ZodIssue[] | undefined {
  const isMap = typeof value === 'object' && value !== null;
  const isOther = ({ code, path }: z.core.$ZodIssue) =>
    path.length === 0 && (code === 'invalid_type' || (isMap && code === 'invalid_value'));
  const ofKind = forms.filter((issues) => !issues.some(isOther));
  return ofKind.length === 1 ? ofKind[0] : undefined;
}

function unknownKey(parent: ConfigPath, key: string): ConfigProblem {
  const node = schemaAt(parent);
  const known = knownKeys(node);
  const meant = nearest(key, known);
  const all = `known keys: ${known.join(', ')}`;
  const did = `did you mean "${meant}"?`;
  // Where keys are names out of a list, the one that was meant may be quite another word.
  const hint = meant === undefined ? all : node?.propertyNames?.enum === undefined ? did : `${did} ${all}`;
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
