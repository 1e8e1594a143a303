/** Where commands print: two streams, colours where they are wanted, and whether a person is watching. */
import picocolors from 'picocolors';
import type { Environment } from '../assembly/config/environment.ts';
import { programName } from '../assembly/config/release.ts';

export type Colors = ReturnType<typeof picocolors.createColors>;

export interface Terminal {
  /** Standard output, with a newline. */
  print(text: string): void;
  /** Standard output, as it is. */
  write(text: string): void;
  /** Standard output, with a newline: a message of ours, in which commands are named as this one was started. */
  tell(text: string): void;
  /** Standard error, with a newline; a message like that. */
  complain(text: string): void;
  readonly colors: Colors;
  /** A person reads standard output. */
  readonly interactive: boolean;
  /** Width in characters of the terminal that is there now; null: none is, and lines may be as long as they like. */
  readonly columns: number | null;
  /** Its height. */
  readonly rows: number | null;
}

export function createTerminal(environment: Environment): Terminal {
  const program = programName(environment.workDir);
  const asStarted = (text: string) => text.replaceAll('`autoglm ', `\`${program} `);
  const interactive = process.stdout.isTTY === true;
  return {
    print: (text) => void process.stdout.write(`${text}\n`),
    write: (text) => void process.stdout.write(text),
    tell: (text) => void process.stdout.write(`${asStarted(text)}\n`),
    complain: (text) => void process.stderr.write(`${asStarted(text)}\n`),
    colors: picocolors.createColors(wantsColors(environment.variables, interactive)),
    interactive,
    get columns() {
      return process.stdout.columns || null;
    },
    get rows() {
      return process.stdout.rows || null;
    },
  };
}

/** https://no-color.org: any text in NO_COLOR turns colours off. */
function wantsColors(variables: Readonly<Record<string, string | undefined>>, interactive: boolean): boolean {
  if (variables.NO_COLOR) return false;
  if (variables.FORCE_COLOR && variables.FORCE_COLOR !== '0') return true;
  return interactive && variables.TERM !== 'dumb';
}

/** Text from elsewhere, safe to print: no control characters but newline and tab, so no escape sequences. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, '');
}
