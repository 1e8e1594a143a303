/** One thing wrong with a configuration, where it stands, and how all of them are shown to a person at once. */
import { PlatformError } from '../../contract/errors.ts';

export type ConfigPath = readonly (string | number)[];

export interface ConfigProblem {
  path: ConfigPath;
  /** What was found and what would be right. */
  message: string;
  /** Point at the key instead of its value; for keys that are not known. */
  atKey?: boolean;
  /** Where the value was given when that was not in the file; shown instead of the place there. */
  from?: string;
}

export interface Position {
  line: number;
  column: number;
}

/** `models[0].replicas`; the document itself is `(document)`. */
export function showPath(path: ConfigPath): string {
  if (path.length === 0) return '(document)';
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`))
    .join('');
}

export function showProblem(file: string, problem: ConfigProblem, position: Position | undefined): string {
  if (problem.from !== undefined) return `${problem.from}: ${problem.message}`;
  const place = position === undefined ? file : `${file}:${position.line}:${position.column}`;
  return `${place}: ${showPath(problem.path)}: ${problem.message}`;
}

/** More than anybody reads at once; what is mended first often mends others. */
const LINES_MAX = 40;

/** One error for all problems, one line each. */
export function configError(lines: readonly string[]): PlatformError {
  const shown = lines.slice(0, LINES_MAX);
  const more = lines.length - shown.length;
  return new PlatformError(
    'config_invalid',
    [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'),
  );
}
