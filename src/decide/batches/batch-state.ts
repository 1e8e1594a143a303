/**
 * What the decider of one batch knows, hears and asks for. Lines are numbered from 0 in the order of the input. All of it is
 * gone when the process that runs the batch dies; `startBatch` builds it anew from what storage has recorded.
 */
import type { RandomState } from '../../base/random.ts';
import type { LineRanges } from './line-ranges.ts';

export interface BatchLimits {
  /** Attempts of a line that an engine failed (5xx, time-outs) before that failure is its answer. */
  attemptsMax: number;
  /** Times the gateway may vanish under a line before the line counts as what ends it. */
  lossesMax: number;
  backoffInitialMs: number;
  backoffMaxMs: number;
}

/** How a batch ends; a status of the API as well. */
export type BatchEnding = 'completed' | 'failed' | 'expired' | 'cancelled';

export type BatchPhase =
  /** The input is read: for the first time and checked, or again after a restart. */
  | 'reading'
  /** Lines are sent. */
  | 'running'
  /** Nothing more is sent; answers that came are still being recorded. */
  | 'settling'
  /** The files are written. */
  | 'writing'
  | 'over';

/** A line on its way, or waiting for its next attempt. */
export interface OpenLine {
  line: number;
  /** Attempts that ended with a failure of an engine. */
  attempts: number;
  losses: number;
  /** Attempts that were turned away because somebody was busy or absent. */
  refusals: number;
}

export interface BatchState {
  phase: BatchPhase;
  /** Set from the moment it is decided. */
  ending: BatchEnding | null;
  /** Lines of the input; 0 until it was read. */
  lines: number;
  /** Recorded in storage: never sent again. */
  answered: LineRanges;
  /** The first line that was never sent by this process. */
  cursor: number;
  sent: readonly OpenLine[];
  waiting: readonly (OpenLine & { dueMs: number })[];
  /** Answers handed to storage, not confirmed yet. */
  recording: readonly number[];
  /** Lines that may be sent or recording at once. */
  inFlightMax: number;
  expiresAtMs: number;
  nowMs: number;
  seed: RandomState;
  limits: BatchLimits;
}

export type LineResult =
  /** The answer stands: success, or a fault of the line itself. */
  | { kind: 'answered'; ok: boolean }
  /** An engine failed; another attempt may succeed. The failure is the answer if there is none. */
  | { kind: 'failed' }
  /** Busy, draining, or not known yet: says nothing about the line. */
  | { kind: 'refused' }
  /** The connection to the gateway broke. */
  | { kind: 'lost' };

export type BatchEvent =
  | { type: 'ticked'; nowMs: number }
  /** The input was read and, where asked, found in order. */
  | { type: 'inputRead'; lines: number }
  | { type: 'inputRefused' }
  | { type: 'lineEnded'; line: number; result: LineResult }
  /** Storage has the answer of this line, whoever recorded it. */
  | { type: 'lineRecorded'; line: number }
  | { type: 'cancelAsked' }
  | { type: 'limitChanged'; inFlightMax: number }
  | { type: 'filesWritten' };

export type BatchEffect =
  /** `check`: for the first time; refuse it as a whole when a line is wrong. */
  | { type: 'readInput'; check: boolean }
  | { type: 'setStatus'; status: 'in_progress' | 'finalizing' }
  | { type: 'send'; line: number }
  /** Record the newest answer of the line; repeated until storage has it. */
  | { type: 'record'; line: number; ok: boolean }
  /** End the attempts of these lines; nothing is heard of them. */
  | { type: 'abort'; lines: number[] }
  /** Write what is recorded, and for each line without an answer why it has none. */
  | { type: 'writeFiles'; ending: BatchEnding }
  | { type: 'finish'; ending: BatchEnding };
