/**
 * The line of an engine's log that says why it ended, for people: the likely cause by the rules of the engine, else the last
 * line that speaks of an error. Null where no line does: a guess would mislead.
 */
import type { ProcessExit } from '../../contract/ports/process-host.ts';
import type { LineReader } from './line-reader.ts';
import { causeAmong } from './log-cause.ts';
import { LogScan } from './log-scan.ts';
import { plainLine } from './plain-line.ts';

const CHARACTERS_MAX = 240;
/** What is closest to the end is what counts: a caller gives the tail of a file. */
const LINES_MAX = 10_000;
/** A line that starts with white space is part of a dump; its head says more. */
const SPEAKS_OF_AN_ERROR =
  /^(?!\s).*?(error|exception|(?<![a-z])(fatal|panic(ked)?|fail(ed|s|ure)?|abort(ed|ing)?|can ?not|can't|could not|unable|not found|no such|invalid|internal|refused|denied|unsupported|unknown|unrecognized|missing))(?![a-z])/i;
/** Put before what is said by loggers: time, level, process. */
const DECORATION = /^(\[[^\]]{1,60}\]\s*|\(\w+ pid=\d+\)\s*|\d{4}-\d\d-\d\d[T ]\S+\s+)+/;

export function lastWords(lines: readonly string[], read: LineReader): string | null {
  const tail = lines.slice(-LINES_MAX);
  const found = causeIn(tail, read) ?? errorIn(tail);
  if (found === undefined) return null;
  const said = found.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  const text = said.replace(DECORATION, '') || said;
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
}

/** A line of JSON may say only by its keys that it is about an error. */
function errorIn(lines: readonly string[]): string | undefined {
  const last = lines.findLast((line) =>
    [plainLine(line), ...(line.startsWith('{') ? [line] : [])].some((text) => SPEAKS_OF_AN_ERROR.test(text)),
  );
  return last === undefined ? undefined : plainLine(last);
}

/** Of the latest attempt that has one. */
function causeIn(lines: readonly string[], read: LineReader): string | undefined {
  const scan = new LogScan(read);
  for (const line of lines) scan.push(line);
  const causes = scan.result().attempts.map(({ findings }) => causeAmong(findings)?.line);
  return causes.findLast((line) => line !== undefined);
}

/** Who is ended by these from outside has nothing to say about it. */
export function mayHaveLastWords(exit: ProcessExit): boolean {
  if (exit.kind === 'signalled') return exit.signal !== 'SIGKILL' && exit.signal !== 'SIGTERM';
  return exit.kind === 'unknown' || (exit.code !== 137 && exit.code !== 143);
}
