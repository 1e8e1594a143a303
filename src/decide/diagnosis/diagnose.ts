/**
 * From a window of signals to a class of fault, with confidence, evidence and what was ruled out. Pure: the same window gives the
 * same answer, and no window makes it throw.
 *
 * Cascades never win over a root, wherever it stands; a bare status 137 is no proof of want of memory; advice is never evidence;
 * what repeats within one attempt is no recurrence; drifts only raise suspicion. `unknown` is an answer.
 */
import { CONFIDENCE_MIN, type Diagnosis, type Verdict } from '../../contract/diagnosis.ts';
import { FAULTS, type FaultClass, type FaultStrategy, STRATEGY_OF } from '../../contract/faults.ts';
import { findDrifts } from './drift.ts';
import { examineExit } from './examine-exit.ts';
import { examineHost } from './examine-host.ts';
import { examineLog } from './examine-log.ts';
import { examineMotion } from './examine-motion.ts';
import { examineRequests } from './examine-requests.ts';
import { Inquiry, type Suspect, WEIGHTS } from './inquiry.ts';
import type { SignalWindow } from './signals.ts';

const EXAMINERS = [examineLog, examineExit, examineMotion, examineHost, examineRequests];
const EVIDENCE_MAX = 20;

export function diagnose(window: SignalWindow): Diagnosis {
  const inquiry = new Inquiry();
  for (const examine of EXAMINERS) examine(window, inquiry);
  const suspicions = findDrifts(window);
  const suspects = merged(inquiry.suspects);
  const [foremost, ...others] = suspects;
  for (const { class: fault, confidence } of others) inquiry.ruleOut(fault, whyNot(confidence, foremost));
  if (foremost !== undefined && foremost.confidence >= CONFIDENCE_MIN) {
    return {
      class: foremost.class,
      confidence: round(foremost.confidence),
      evidence: foremost.evidence.slice(0, EVIDENCE_MAX),
      ruledOut: inquiry.ruledOut.filter((ruled) => ruled.class !== foremost.class),
      suspicions,
    };
  }
  if (foremost !== undefined) inquiry.ruleOut(foremost.class, whyNot(foremost.confidence, undefined));
  const evidence = [...inquiry.loose, ...unexplainedIn(window)];
  const wrong = foremost !== undefined || evidence.length > 0;
  return {
    class: wrong ? 'unknown' : 'none',
    confidence: wrong ? 0 : 1,
    evidence: [...evidence, ...(foremost?.evidence ?? [])].slice(0, EVIDENCE_MAX),
    ruledOut: inquiry.ruledOut,
    suspicions,
  };
}

/** What is done first about a fault of this class; remedies of its own come from the policy. */
export function strategyFor(verdict: Verdict): FaultStrategy | null {
  if (verdict === 'none') return null;
  return STRATEGY_OF[verdict === 'unknown' ? 'unknown' : FAULTS[verdict].nature];
}

/** One suspect for each class, foremost first; two kinds of evidence for one class support each other. */
function merged(suspects: readonly Suspect[]): Suspect[] {
  const byClass = new Map<FaultClass, Suspect>();
  for (const suspect of suspects.toSorted((a, b) => b.weight - a.weight)) {
    const known = byClass.get(suspect.class);
    if (known === undefined) byClass.set(suspect.class, { ...suspect, evidence: [...suspect.evidence] });
    else {
      const doubt = (1 - known.confidence) * (1 - suspect.confidence / 2);
      known.confidence = Math.min(0.98, 1 - doubt);
      known.evidence.push(...suspect.evidence);
    }
  }
  return [...byClass.values()].sort(
    (a, b) =>
      Number(b.confidence >= CONFIDENCE_MIN) - Number(a.confidence >= CONFIDENCE_MIN) ||
      b.weight - a.weight ||
      b.confidence - a.confidence,
  );
}

function whyNot(confidence: number, foremost: Suspect | undefined): string {
  const percent = `${Math.round(confidence * 100)} %`;
  if (foremost === undefined) return `too little speaks for it (${percent})`;
  if (foremost.weight >= WEIGHTS.root) return `${foremost.class} explains it`;
  return `less speaks for it (${percent}) than for ${foremost.class}, or it follows from that`;
}

/** The log ends in a way that no rule knows. */
function unexplainedIn({ log }: SignalWindow): Diagnosis['evidence'] {
  if (log === undefined || log.unexplained === null || log.stop !== null) return [];
  const { number, text } = log.unexplained;
  return log.lastLine - number > UNEXPLAINED_LINES_MAX ? [] : [{ signal: 'log', text, line: number }];
}

/** An error further from the end than this was survived. */
const UNEXPLAINED_LINES_MAX = 200;

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
