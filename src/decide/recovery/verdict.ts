/** What a diagnosis says of a replica, as far as recovery goes by it; the diagnosis itself is passed through to the incident. */
import type { IncidentDiagnosis } from '../../contract/incidents.ts';
import type { PolicyClass } from '../../contract/recovery-policy.ts';

export interface Verdict {
  /** `none`: nothing speaks of a fault. */
  class: PolicyClass | 'none';
  /** 0..1 */
  confidence: number;
  /** In one sentence, without a full stop. */
  summary: string;
  diagnosis: IncidentDiagnosis;
}

/** Something is wrong, and nobody can say what. */
export function unknownVerdict(summary: string): Verdict {
  return {
    class: 'unknown',
    confidence: 0,
    summary,
    diagnosis: { class: 'unknown', confidence: 0, evidence: [], ruledOut: [] },
  };
}
