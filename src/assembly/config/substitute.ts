/**
 * `${NAME}` and `${NAME:-default}` in values of the configuration; `$${` stands for a plain `${`. One pass: what the
 * environment holds is never searched again. A missing variable is named, a found one is never printed.
 */
export interface Substitution {
  text: string;
  /** Names that were read from the environment; empty when the text holds none. */
  names: string[];
  /** Names that are not set and have no default. */
  missing: string[];
  /** Text that looks like a reference but is none, such as `${1A}`. */
  malformed: string[];
}

const REFERENCE = /\$\$\{|\$\{([^}]*)\}/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export function substitute(
  text: string,
  variables: Readonly<Record<string, string | undefined>>,
): Substitution {
  const result: Substitution = { text: '', names: [], missing: [], malformed: [] };
  result.text = text.replace(REFERENCE, (whole, inside: string | undefined) => {
    if (inside === undefined) return '${';
    const split = inside.indexOf(':-');
    const name = split < 0 ? inside : inside.slice(0, split);
    if (!NAME.test(name)) {
      result.malformed.push(whole);
      return whole;
    }
    const found = variables[name];
    result.names.push(name);
    // As in a shell, `:-` also stands in for a variable that is set but empty.
    if (found !== undefined && (found !== '' || split < 0)) return found;
    if (split >= 0) return inside.slice(split + 2);
    result.missing.push(name);
    return '';
  });
  return result;
}
