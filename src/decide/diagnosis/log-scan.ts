/**
 * Reads a log line by line and keeps of it what a diagnosis needs, in bounded memory however long it is: for each attempt to
 * start the engine which rules found a line, how far the start came, when work was last done, and what the engine said of its
 * load. A line that comes again within an attempt is counted; only another attempt makes it a recurrence.
 */
import type { FaultClass } from '../../contract/faults.ts';
import type { LogRole, LogRule } from '../../contract/log-rule.ts';
import type { LineMeaning, LineReader, WorkFigures } from './line-reader.ts';
import { LogTimes } from './log-time.ts';
import { plainLine } from './plain-line.ts';

export interface LogFinding {
  rule: string;
  class: FaultClass;
  role: LogRole;
  weak: boolean;
  timesMin: number;
  sources: readonly string[];
  /** The first line that matched, shortened. */
  line: string;
  /** Its number, from 1. */
  number: number;
  atMs: number | null;
  times: number;
  /** Of those that came after the last step of the engine that the log shows. */
  sinceWork: { times: number; firstMs: number | null; lastMs: number | null };
}

export interface PlacedLine {
  number: number;
  atMs: number | null;
  text: string;
}

export interface LogWorkSample extends WorkFigures {
  number: number;
  atMs: number | null;
}

/** What the log says of one attempt: from the beginning of a start to that of the next. */
export interface AttemptReading {
  firstLine: number;
  lastLine: number;
  /** In the order of their first lines. */
  findings: LogFinding[];
  /** The log shows the beginning of the start; else it begins in the midst of it. */
  sawStart: boolean;
  ready: PlacedLine | null;
  lastPhase: PlacedLine | null;
  lastWork: PlacedLine | null;
  /** The last line of an end in order. */
  stop: PlacedLine | null;
  /** The latest, oldest first. */
  samples: LogWorkSample[];
  firstMs: number | null;
  lastMs: number | null;
  /** The last line that speaks of an end and that no rule knows, with no work after it. */
  unexplained: PlacedLine | null;
}

export interface LogReading {
  lines: number;
  /** The latest, oldest first; at least one where there are lines. */
  attempts: AttemptReading[];
  /** All that there were. */
  attemptsTotal: number;
}

const SHOWN_CHARACTERS_MAX = 300;
const ATTEMPTS_MAX = 20;
const SAMPLES_MAX = 360;

export class LogScan {
  readonly #read: LineReader;
  readonly #times = new LogTimes();
  readonly #attempts: AttemptReading[] = [];
  #attemptsTotal = 0;
  #current: AttemptReading | null = null;
  #byRule = new Map<string, LogFinding>();
  #lines = 0;

  constructor(read: LineReader) {
    this.#read = read;
  }

  /** `number`: of the line in its file; default: one more than the one before. */
  push(line: string, number = this.#lines + 1): void {
    this.#lines = number;
    const text = plainLine(line);
    const meaning = this.#read(text);
    const attempt = this.#attemptOf(meaning, number);
    // A logger that writes JSON has the time beside the message.
    const atMs = this.#times.timeMs(text) ?? (line.startsWith('{') ? this.#times.timeMs(line) : null);
    attempt.lastLine = number;
    if (atMs !== null) {
      attempt.firstMs ??= atMs;
      attempt.lastMs = atMs;
    }
    if (meaning.rule !== null) this.#note(attempt, meaning.rule, { number, atMs, text });
    if (meaning.markers.length > 0) this.#mark(attempt, meaning, { number, atMs, text });
    if (meaning.figures !== null) {
      if (attempt.samples.length === SAMPLES_MAX) attempt.samples.shift();
      attempt.samples.push({ ...meaning.figures, number, atMs });
    }
    if (meaning.speaksOfEnd && meaning.rule === null) attempt.unexplained = placed({ number, atMs, text });
  }

  result(): LogReading {
    return { lines: this.#lines, attempts: [...this.#attempts], attemptsTotal: this.#attemptsTotal };
  }

  #attemptOf({ markers }: LineMeaning, number: number): AttemptReading {
    const current = this.#current;
    // Several processes of one start introduce themselves one after the other.
    if (current !== null && !(markers.includes('start') && hasPassed(current))) return current;
    const attempt = emptyAttempt(number);
    this.#current = attempt;
    this.#byRule = new Map();
    this.#attemptsTotal++;
    if (this.#attempts.length === ATTEMPTS_MAX) this.#attempts.shift();
    this.#attempts.push(attempt);
    return attempt;
  }

  #note(attempt: AttemptReading, rule: LogRule, line: PlacedLine): void {
    const known = this.#byRule.get(rule.id);
    const finding = known ?? newFinding(rule, line);
    if (known === undefined) {
      this.#byRule.set(rule.id, finding);
      attempt.findings.push(finding);
    } else known.times++;
    const { sinceWork } = finding;
    sinceWork.times++;
    sinceWork.firstMs ??= line.atMs;
    sinceWork.lastMs = line.atMs ?? sinceWork.lastMs;
  }

  #mark(attempt: AttemptReading, { markers }: LineMeaning, line: PlacedLine): void {
    if (markers.includes('start')) attempt.sawStart = true;
    if (markers.includes('phase')) attempt.lastPhase = placed(line);
    if (markers.includes('ready')) attempt.ready ??= placed(line);
    if (markers.includes('stop')) attempt.stop = placed(line);
    if (!markers.includes('work')) return;
    attempt.lastWork = placed(line);
    attempt.unexplained = null;
    for (const finding of attempt.findings) finding.sinceWork = { times: 0, firstMs: null, lastMs: null };
  }
}

function emptyAttempt(firstLine: number): AttemptReading {
  return {
    firstLine,
    lastLine: firstLine,
    findings: [],
    sawStart: false,
    ready: null,
    lastPhase: null,
    lastWork: null,
    stop: null,
    samples: [],
    firstMs: null,
    lastMs: null,
    unexplained: null,
  };
}

function newFinding(rule: LogRule, { number, atMs, text }: PlacedLine): LogFinding {
  const { id, class: fault, role, weak, timesMin, sources } = rule;
  const line = shorten(text);
  const sinceWork = { times: 0, firstMs: null, lastMs: null };
  return { rule: id, class: fault, role, weak, timesMin, sources, line, number, atMs, times: 1, sinceWork };
}

/** An attempt that came so far, or so to grief, that the next start is another one. */
function hasPassed({ ready, stop, findings, unexplained }: AttemptReading): boolean {
  return (
    ready !== null || stop !== null || unexplained !== null || findings.some(({ role }) => role !== 'advice')
  );
}

function placed({ number, atMs, text }: PlacedLine): PlacedLine {
  return { number, atMs, text: shorten(text) };
}

/** A copy: a slice would keep the chunk of the file alive that it was cut from. */
function shorten(text: string): string {
  const trimmed = text.trim();
  const shown = Array.from(trimmed.slice(0, SHOWN_CHARACTERS_MAX)).join('');
  return trimmed.length > SHOWN_CHARACTERS_MAX ? `${shown}…` : shown;
}
