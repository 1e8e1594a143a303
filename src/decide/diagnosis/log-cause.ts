/**
 * Which of the findings in a log is the likely cause. The earliest root, for what follows is often its cascade; without a root
 * the earliest confirmation, and only then a cascade; last what proves nothing alone. Advice is never evidence.
 */
import type { LogRole } from '../../contract/log-rule.ts';

interface Weighed {
  role: LogRole;
  weak: boolean;
  timesMin: number;
  times: number;
}

const ORDER: readonly LogRole[] = ['root', 'confirmation', 'cascade'];

/** `findings` in the order of their first lines. */
export function causeAmong<Finding extends Weighed>(findings: readonly Finding[]): Finding | null {
  const strong = findings.filter(counts);
  for (const role of ORDER) {
    const earliest = strong.find((finding) => finding.role === role);
    if (earliest !== undefined) return earliest;
  }
  return (
    findings.find(({ role, weak, times, timesMin }) => weak && role !== 'advice' && times >= timesMin) ?? null
  );
}

/** Whether a finding is evidence by itself. */
export function counts({ role, weak, times, timesMin }: Weighed): boolean {
  return role !== 'advice' && !weak && times >= timesMin;
}
