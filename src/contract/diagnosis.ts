/** What is wrong with an engine, and why we think so: the answer of `decide/diagnosis`, shown by commands and kept with incidents. */
import type { FaultClass, FaultStrategy } from './faults.ts';
import type { LogRole } from './log-rule.ts';

/** `unknown`: something is wrong, and none of the classes is likely. `none`: nothing speaks of a fault. */
export type Verdict = FaultClass | 'unknown' | 'none';

/** Where a piece of evidence comes from. */
export type EvidenceSignal =
  | 'log'
  | 'exit'
  | 'memory'
  | 'metrics'
  | 'probe'
  | 'gateway'
  | 'gpu'
  | 'process'
  | 'requests'
  | 'answers'
  | 'start'
  | 'history';

export interface Evidence {
  signal: EvidenceSignal;
  text: string;
  /** Of a log line: its number from 1, what its rule makes of it, and where the rule comes from. */
  line?: number;
  times?: number;
  role?: LogRole;
  rule?: string;
  sources?: readonly string[];
}

export interface RuledOut {
  class: FaultClass;
  why: string;
}

/** A series that drifts. It is a reason to look closer, never one to act. */
export interface Suspicion {
  series: string;
  detector: 'moving-average' | 'z-score' | 'ewma';
  text: string;
}

export interface Diagnosis {
  class: Verdict;
  /** 0..1; below CONFIDENCE_MIN the class is `unknown`. */
  confidence: number;
  evidence: readonly Evidence[];
  ruledOut: readonly RuledOut[];
  suspicions: readonly Suspicion[];
}

export const CONFIDENCE_MIN = 0.5;

/** What `autoglm diagnose` found in a log. */
export interface LogDiagnosis extends Diagnosis {
  source: string;
  lines: number;
  engine: { name: string | null; title: string; recognised: boolean };
  /** Starts that the log shows, and the lines of the one that the diagnosis is about. */
  attempts: { total: number; firstLine: number; lastLine: number; latest: boolean };
  /** Row of the taxonomy, what the class means and what to do; null for `unknown` and `none`. */
  fault: { row: number; meaning: string; todo: string; restartHelps: boolean } | null;
  strategy: FaultStrategy | null;
}
