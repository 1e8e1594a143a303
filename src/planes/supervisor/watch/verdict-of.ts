/** A diagnosis in the words of the recovery machine: deciders do not know one another. */
import type { Diagnosis } from '../../../contract/diagnosis.ts';
import { FAULTS } from '../../../contract/faults.ts';
import type { Verdict } from '../../../decide/recovery/verdict.ts';

const EVIDENCE_SHOWN = 2;

export function verdictOf(diagnosis: Diagnosis): Verdict {
  const { class: found, confidence, evidence, ruledOut } = diagnosis;
  return {
    class: found,
    confidence,
    summary: summaryOf(diagnosis),
    diagnosis: {
      class: found,
      confidence,
      evidence: evidence.map(({ sources, ...rest }) => ({
        ...rest,
        ...(sources !== undefined && { sources: [...sources] }),
      })),
      ruledOut: [...ruledOut],
    },
  };
}

function summaryOf({ class: found, evidence }: Diagnosis): string {
  const seen = evidence
    .slice(0, EVIDENCE_SHOWN)
    .map(({ text }) => text)
    .join('; ');
  if (found === 'none') return 'nothing speaks of a fault';
  const what =
    found === 'unknown'
      ? 'something is wrong, and it is not known what'
      : `${found}: ${FAULTS[found].meaning}`;
  return seen === '' ? what : `${what} (${seen})`;
}
