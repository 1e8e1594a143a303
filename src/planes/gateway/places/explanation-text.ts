/** Why a request went where it went, as the value of a header: JSON in ASCII, of bounded length. */
import type { Explanation } from '../../../decide/scheduling/pick/scheduler.ts';

/** Of larger pools, the chosen one and the best of the others are told. */
const CANDIDATES_MAX = 16;

export function explanationText(explanation: Explanation): string {
  const { candidates, picked } = explanation;
  const best = candidates.toSorted(
    (a, b) => Number(b.replica === picked) - Number(a.replica === picked) || b.total - a.total,
  );
  const shown = candidates.length > CANDIDATES_MAX ? best.slice(0, CANDIDATES_MAX) : candidates;
  const text = JSON.stringify({ ...explanation, candidates: shown });
  return text.replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
