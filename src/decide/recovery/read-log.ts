/**
 * What an engine's log says about a failure: lines against rules, and which of the findings is the likely cause. Pure; who reads
 * the file, and from where, is the supervisor's business.
 *
 * The cause is the earliest root, for what follows is often its cascade; without a root the earliest confirmation, and only
 * then a cascade. Advice is never evidence. A line that comes again is not a second failure: it is counted.
 */
import type { FaultClass, LogRole, LogRule } from '../../contract/log-rule.ts';

export interface LogFinding {
  rule: string;
  class: FaultClass;
  role: LogRole;
  /** The first line that matched, shortened. */
  line: string;
  /** Place of that line among those that were read, from 0. */
  at: number;
  times: number;
}

export interface LogReading {
  /** In the order of their first lines. */
  findings: LogFinding[];
  /** Null when nothing but advice was found. */
  cause: LogFinding | null;
}

/** Longer lines are dumps; what is known of them stands at their beginning. */
const LINE_CHARACTERS_MAX = 4_096;
const SHOWN_CHARACTERS_MAX = 300;
/** What is closest to the end is what counts: a caller gives the tail of a file. */
const LINES_MAX = 10_000;

export type LineMatcher = (line: string) => LogRule | null;

/** Compiles the rules once; the first that matches counts. */
export function lineMatcher(rules: readonly LogRule[]): LineMatcher {
  const compiled = rules.map((rule) => ({ rule, pattern: new RegExp(rule.pattern) }));
  return (line) => {
    const text = line.length > LINE_CHARACTERS_MAX ? line.slice(0, LINE_CHARACTERS_MAX) : line;
    return compiled.find(({ pattern }) => pattern.test(text))?.rule ?? null;
  };
}

export function readLog(lines: readonly string[], match: LineMatcher): LogReading {
  const findings = new Map<string, LogFinding>();
  const first = Math.max(0, lines.length - LINES_MAX);
  for (let at = first; at < lines.length; at++) {
    const line = lines[at] as string;
    const rule = match(line);
    if (rule === null) continue;
    const known = findings.get(rule.id);
    if (known !== undefined) known.times++;
    else
      findings.set(rule.id, {
        rule: rule.id,
        class: rule.class,
        role: rule.role,
        line: line.trim().slice(0, SHOWN_CHARACTERS_MAX),
        at,
        times: 1,
      });
  }
  const found = [...findings.values()];
  return { findings: found, cause: causeAmong(found) };
}

const EVIDENCE: readonly LogRole[] = ['root', 'confirmation', 'cascade'];

function causeAmong(findings: readonly LogFinding[]): LogFinding | null {
  for (const role of EVIDENCE) {
    const earliest = findings.find((finding) => finding.role === role);
    if (earliest !== undefined) return earliest;
  }
  return null;
}
