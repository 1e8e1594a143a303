/**
 * Is the answer to a canary worth anything? An answer of one token again and again is what engines give whose numbers have gone
 * bad (vllm#14126). An answer is known to be good when equal engines have given it several times and never another one: then a
 * different one is wrong, unless the engine is known to vary.
 */
export interface KnownAnswer {
  text: string;
  times: number;
  /** Good engines give different answers: only worthless ones can be told. */
  varies: boolean;
}

export interface CanaryVerdict {
  ok: boolean;
  /** Why not, in a few words; empty where it is. */
  why: string;
  known: KnownAnswer;
}

/** Equal answers after which another one is wrong. */
const KNOWN_TIMES_MIN = 3;
const REPEATED_MIN = 6;
const SHOWN_CHARACTERS_MAX = 40;

/** `deterministic`: equal engines give equal answers, as far as their makers say. */
export function judgeCanary(
  text: string,
  known: KnownAnswer | undefined,
  deterministic: boolean,
): CanaryVerdict {
  const before = known ?? { text, times: 0, varies: false };
  if (isWorthless(text)) return { ok: false, why: `one token repeated: "${shown(text)}"`, known: before };
  if (text === before.text) return { ok: true, why: '', known: { ...before, times: before.times + 1 } };
  const isKnown = deterministic && !before.varies && before.times >= KNOWN_TIMES_MIN;
  if (!isKnown) return { ok: true, why: '', known: { ...before, varies: true } };
  const why = `"${shown(text)}" instead of "${shown(before.text)}", which equal engines gave ${before.times} times`;
  return { ok: false, why, known: before };
}

function isWorthless(text: string): boolean {
  const letters = text.replaceAll(/\s/g, '');
  if (letters.length >= REPEATED_MIN && new Set(letters).size === 1) return true;
  const words = text.trim().split(/\s+/);
  return words.length >= REPEATED_MIN && new Set(words).size === 1;
}

function shown(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > SHOWN_CHARACTERS_MAX ? `${line.slice(0, SHOWN_CHARACTERS_MAX)}…` : line;
}
