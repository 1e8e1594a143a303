/** What the environment says in a document: `${NAME}` in its texts, and numbers and booleans that came as text. */
import type { ConfigDocument } from './config-document.ts';
import { type ConfigPath, type ConfigProblem, type Position, showPath } from './config-problem.ts';
import type { Environment } from './environment.ts';
import { schemaAt } from './expectation.ts';
import { valueAt } from './explain-issue.ts';
import { substitute } from './substitute.ts';

/** Paths whose value came from the environment, by the way they are shown. */
export type FromEnvironment = Map<string, ConfigPath>;

export function substituteAll(document: ConfigDocument, environment: Environment) {
  const fromEnvironment: FromEnvironment = new Map();
  const problems: ConfigProblem[] = [];
  document.replaceStrings((text, path) => {
    const { text: replaced, names, missing, malformed } = substitute(text, environment.variables);
    for (const name of missing) {
      problems.push({
        path,
        message: `the environment variable ${name} is not set; set it, or write \${${name}:-default}`,
      });
    }
    for (const written of malformed) {
      problems.push({
        path,
        message: `found ${written}; would be right: \${NAME} or \${NAME:-default}, and $\${ for a plain \${`,
      });
    }
    if (names.length > 0) fromEnvironment.set(showPath(path), path);
    return replaced;
  });
  return { fromEnvironment, problems };
}

/**
 * The environment holds only text: where the schema wants a number or a boolean, text that reads as one becomes one. `place`: where
 * the document stands in `autoglm.yaml`.
 */
export function coerce(value: unknown, fromEnvironment: FromEnvironment, place: ConfigPath = []): void {
  for (const path of fromEnvironment.values()) {
    const parent = valueAt(value, path.slice(0, -1)) as Record<string | number, unknown> | undefined;
    const key = path.at(-1);
    if (parent === undefined || key === undefined) continue;
    const typed = readAs(schemaAt([...place, ...path])?.type, String(parent[key]));
    if (typed !== undefined) parent[key] = typed;
  }
}

function readAs(type: string | string[] | undefined, text: string): number | boolean | undefined {
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined;
  if (type !== 'integer' && type !== 'number') return undefined;
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** As they stand in the file; what stands nowhere in it comes first. */
export function inOrder<Placed extends { position: Position | undefined }>(
  placed: readonly Placed[],
): Placed[] {
  const rank = ({ position }: Placed) =>
    position === undefined ? -1 : position.line * 100_000 + position.column;
  return placed.toSorted((a, b) => rank(a) - rank(b));
}
