/**
 * The line of an engine's log that says why it ended, for people: the likely cause by the rules of the engine, else the last
 * line that speaks of an error. Null where no line does: a guess would mislead.
 */
import type { ProcessExit } from '../../contract/ports/process-host.ts';
import { type LineMatcher, readLog } from './read-log.ts';

const CHARACTERS_MAX = 240;
/** A line that starts with white space is part of a dump; its head says more. */
const SPEAKS_OF_AN_ERROR =
  /^(?!\s).*?(error|exception|(?<![a-z])(fatal|panic(ked)?|fail(ed|s|ure)?|abort(ed|ing)?|can ?not|can't|could not|unable|not found|no such|invalid|internal|refused|denied|unsupported|unknown|unrecognized|missing))(?![a-z])/i;
/** Put before what is said by loggers: time, level, process. */
const DECORATION = /^(\[[^\]]{1,60}\]\s*|\(\w+ pid=\d+\)\s*|\d{4}-\d\d-\d\d[T ]\S+\s+)+/;
const ESCAPE_SEQUENCES = /\p{Cc}\[[0-9;?]*[A-Za-z]/gu;

export function lastWords(lines: readonly string[], match: LineMatcher): string | null {
  const plain = lines.map((line) => line.replaceAll(ESCAPE_SEQUENCES, '').trimEnd());
  const found = readLog(plain, match).cause?.line ?? plain.findLast((line) => SPEAKS_OF_AN_ERROR.test(line));
  if (found === undefined) return null;
  const said = messageIn(found)
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim();
  const text = said.replace(DECORATION, '') || said;
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
}

/** Who is ended by these from outside has nothing to say about it. */
export function mayHaveLastWords(exit: ProcessExit): boolean {
  if (exit.kind === 'signalled') return exit.signal !== 'SIGKILL' && exit.signal !== 'SIGTERM';
  return exit.kind === 'unknown' || (exit.code !== 137 && exit.code !== 143);
}

/** Of a log that is written as JSON, the message alone. */
function messageIn(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { message, msg, error } = JSON.parse(line) as Record<string, unknown>;
    const text = [message, msg, error].find((value) => typeof value === 'string');
    return typeof text === 'string' ? text : line;
  } catch {
    return line;
  }
}
