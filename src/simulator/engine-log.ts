/** What a starting and a working engine prints, so that rules over logs can be tried on it: one `DialectLog` per engine. */
import type { Clock } from '../base/clock.ts';
import type { EngineCoreMetrics } from '../contract/ports/engine-core.ts';
import type { StartPhase } from './faults/fault-script.ts';

export type LogLevel = 'INFO' | 'WARNING' | 'ERROR';
export type LogLine = (level: LogLevel, place: string, text: string) => void;
export type PlacedText = [place: string, text: string];

export interface DialectLog {
  /** A whole line, as the engine writes it. */
  line(at: Date, level: LogLevel, place: string, text: string): string;
  /** Lines at the beginning of a phase, and the one that closes it. */
  phases: Record<StartPhase, { begin(model: string): PlacedText[]; end(seconds: string): PlacedText }>;
  listening(url: string): PlacedText;
  stopping: PlacedText;
  /** Printed every ten seconds while there is work; undefined where the engine says nothing then. */
  stats?(before: EngineCoreMetrics, after: EngineCoreMetrics, spanMs: number): PlacedText;
}

/** With the wall clock of the process. */
export function createLog(clock: Clock, dialect: DialectLog, write: (line: string) => void): LogLine {
  return (level, place, text) => write(dialect.line(new Date(clock.wallMs()), level, place, text));
}
