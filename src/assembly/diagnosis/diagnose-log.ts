/**
 * Reads a log, however long, and has it diagnosed: the latest start that something went wrong with, for the one after it may be well.
 * Earlier starts are its history.
 */
import type { Diagnosis, LogDiagnosis } from '../../contract/diagnosis.ts';
import { PlatformError } from '../../contract/errors.ts';
import { FAULTS } from '../../contract/faults.ts';
import { diagnose, strategyFor } from '../../decide/diagnosis/diagnose.ts';
import { createLineReader, type LineReader } from '../../decide/diagnosis/line-reader.ts';
import { type AttemptReading, LogScan } from '../../decide/diagnosis/log-scan.ts';
import type { PastIncident } from '../../decide/diagnosis/signals.ts';
import {
  LOGGED_ENGINES,
  type LoggedEngine,
  loadAllLogKnowledge,
  loadLogKnowledge,
} from '../../drivers/engines/log-rules.ts';
import { nearest } from '../config/did-you-mean.ts';
import { type LogSource, linesOf, type NumberedLine } from './log-lines.ts';
import { recogniseEngine } from './recognise-engine.ts';

/** Lines from which the engine is recognised; they are kept until then. */
const HEAD_LINES = 2_000;

export async function diagnoseLog({
  engine,
  ...source
}: LogSource & { engine?: string }): Promise<LogDiagnosis> {
  const { name } = source;
  const named = engine === undefined ? null : readEngineName(engine);
  let head: NumberedLine[] = [];
  let log: OpenLog | null = null;
  for await (const lines of linesOf(source)) {
    if (log === null) {
      head = head.concat(lines);
      if (head.length < HEAD_LINES) continue;
      log = openLog(named, head);
    } else for (const { number, text } of lines) log.scan.push(text, number);
  }
  if (head.length === 0)
    throw new PlatformError('invalid_request', `${name}: it is empty; there is nothing to diagnose`);
  return conclude(name, log ?? openLog(named, head));
}

interface OpenLog {
  scan: LogScan;
  engine: LogDiagnosis['engine'];
}

function openLog(named: LoggedEngine | null, head: readonly NumberedLine[]): OpenLog {
  const name = named ?? recogniseEngine(head.slice(0, HEAD_LINES).map(({ text }) => text));
  const { read, title } = readerFor(name);
  const scan = new LogScan(read);
  for (const { number, text } of head) scan.push(text, number);
  return { scan, engine: { name, title, recognised: named === null } };
}

interface TitledReader {
  read: LineReader;
  title: string;
}

const readers = new Map<LoggedEngine | null, TitledReader>();

/** Compiled once in a process. */
function readerFor(name: LoggedEngine | null): TitledReader {
  const known = readers.get(name);
  if (known !== undefined) return known;
  const knowledge = name === null ? loadAllLogKnowledge() : loadLogKnowledge(name);
  const title = 'title' in knowledge ? (knowledge.title as string) : 'an engine that was not recognised';
  const reader = { read: createLineReader(knowledge), title };
  readers.set(name, reader);
  return reader;
}

function conclude(source: string, { scan, engine }: OpenLog): LogDiagnosis {
  const { lines, attempts, attemptsTotal } = scan.result();
  const incidents: PastIncident[] = [];
  const found = attempts.map((attempt, at) => {
    const diagnosis = diagnoseAttempt(attempt, engine.name, incidents);
    const duringStart = attempt.sawStart && attempt.ready === null;
    incidents.push({ atMs: attempt.lastMs ?? at, replica: source, class: diagnosis.class, duringStart });
    return { attempt, diagnosis };
  });
  const isFault = ({ diagnosis }: (typeof found)[number]) =>
    diagnosis.class !== 'none' && diagnosis.class !== 'unknown';
  const chosen =
    found.findLast(isFault) ?? found.findLast(({ diagnosis }) => diagnosis.class !== 'none') ?? found.at(-1);
  if (chosen === undefined) throw new PlatformError('internal', 'a log with lines has no attempt');
  const { attempt, diagnosis } = chosen;
  return {
    ...diagnosis,
    source,
    lines,
    engine,
    attempts: {
      total: attemptsTotal,
      firstLine: attempt.firstLine,
      lastLine: attempt.lastLine,
      latest: chosen === found.at(-1),
    },
    fault: faultOf(diagnosis),
    strategy: strategyFor(diagnosis.class),
  };
}

function diagnoseAttempt(
  log: AttemptReading,
  engine: string | null,
  incidents: readonly PastIncident[],
): Diagnosis {
  return diagnose({ nowMs: log.lastMs ?? 0, log, incidents, ...(engine !== null && { engine }) });
}

function faultOf({ class: verdict }: Diagnosis): LogDiagnosis['fault'] {
  if (verdict === 'none' || verdict === 'unknown') return null;
  const { row, meaning, todo, restartHelps } = FAULTS[verdict];
  return { row, meaning, todo, restartHelps };
}

function readEngineName(text: string): LoggedEngine {
  const known = LOGGED_ENGINES.find((engine) => engine === text);
  if (known !== undefined) return known;
  const meant = nearest(text, LOGGED_ENGINES);
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  throw new PlatformError(
    'invalid_request',
    `--engine: unknown engine '${text}'; known: ${LOGGED_ENGINES.join(', ')}${hint}`,
  );
}
