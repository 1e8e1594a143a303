/** Whose log it is, by the lines that only one engine prints. */
import { createLineReader, type LineReader } from '../../decide/diagnosis/line-reader.ts';
import { plainLine } from '../../decide/diagnosis/plain-line.ts';
import { LOGGED_ENGINES, type LoggedEngine, readLogRuleFile } from '../../drivers/engines/log-rules.ts';

/** Their logs hold those of the engines that they run, so one line of theirs decides. */
const AROUND_OTHERS: readonly LoggedEngine[] = ['ollama', 'triton'];

/** Null: none of them, or none more than another. */
export function recogniseEngine(lines: readonly string[]): LoggedEngine | null {
  const votes = new Map<LoggedEngine, number>();
  for (const line of lines) {
    const text = plainLine(line);
    const known = LOGGED_ENGINES.filter((engine) => isOf(engine, text));
    const [engine, another] = known;
    // Several use the same web server, and what that prints is nobody's own.
    if (engine !== undefined && another === undefined) votes.set(engine, (votes.get(engine) ?? 0) + 1);
  }
  const around = AROUND_OTHERS.find((engine) => votes.has(engine));
  if (around !== undefined) return around;
  const [first, second] = [...votes].sort((a, b) => b[1] - a[1]);
  return first === undefined || first[1] === second?.[1] ? null : first[0];
}

function isOf(engine: LoggedEngine, text: string): boolean {
  const { rule, markers, figures } = readerOf(engine)(text);
  return rule !== null || markers.length > 0 || figures !== null;
}

const readers = new Map<LoggedEngine, LineReader>();

/** Of its own file alone; compiling it takes longer than reading a short log. */
function readerOf(engine: LoggedEngine): LineReader {
  const known = readers.get(engine);
  if (known !== undefined) return known;
  const { rules, markers, samples } = readLogRuleFile(engine);
  const reader = createLineReader({ rules, markers, samples });
  readers.set(engine, reader);
  return reader;
}
