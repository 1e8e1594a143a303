/** The notes of one diagnosis: examiners write down whom they suspect and whom they rule out, `diagnose` weighs it. */
import type { Evidence, RuledOut } from '../../contract/diagnosis.ts';
import type { FaultClass } from '../../contract/faults.ts';

/**
 * How near to the cause a kind of evidence is. A root goes before a symptom, a symptom before what follows from an unknown
 * cause, and that before what proves nothing alone.
 */
export const WEIGHTS = {
  /** Seen from outside the engine, or over several ends: it explains roots in the log, too. */
  witness: 4,
  root: 3,
  symptom: 2,
  confirmation: 1.5,
  cascade: 1,
  end: 0.8,
  weak: 0.3,
} as const;

export interface Suspect {
  class: FaultClass;
  weight: number;
  /** 0..1 */
  confidence: number;
  evidence: Evidence[];
}

export class Inquiry {
  readonly suspects: Suspect[] = [];
  readonly ruledOut: RuledOut[] = [];
  /** What was seen and points to no class; evidence of an `unknown`. */
  readonly loose: Evidence[] = [];

  suspect(
    fault: FaultClass,
    kind: keyof typeof WEIGHTS,
    { confidence, evidence }: { confidence: number; evidence: Evidence[] },
  ): void {
    this.suspects.push({ class: fault, weight: WEIGHTS[kind], confidence, evidence });
  }

  ruleOut(fault: FaultClass, why: string): void {
    if (!this.ruledOut.some((known) => known.class === fault)) this.ruledOut.push({ class: fault, why });
  }
}

/** 61_500 -> "61.5 s", 600_000 -> "10 min". */
export function span(ms: number): string {
  if (ms < 10_000) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 600_000) return `${Math.round(ms / 1000)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Number((ms / 3_600_000).toFixed(1))} h`;
}
