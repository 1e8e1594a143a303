import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeamStopGuard } from './seam-stop-guard.ts';

/** Feeds pieces; what came out, and whether a stop string across the seam was met. */
function feed(delivered: string, stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const guard = new SeamStopGuard(delivered, stops);
  let text = '';
  let held = '';
  for (const piece of pieces) {
    const verdict = guard.push(piece);
    if (verdict === 'stop') return { text, stopped: true };
    held += piece;
    if (verdict === 'hold') continue;
    text += held;
    held = '';
  }
  return { text: text + held, stopped: false };
}

describe('SeamStopGuard', () => {
  it('stops where a stop string lies across the seam, and sends nothing of it', () => {
    expect(feed('say EN', ['END'], ['D', ' more'])).toEqual({ text: '', stopped: true });
    expect(feed('say E', ['END'], ['N', 'D'])).toEqual({ text: '', stopped: true });
  });

  it('lets text pass that only looked like one', () => {
    expect(feed('say E', ['END'], ['N', 'TER'])).toEqual({ text: 'NTER', stopped: false });
  });

  it('leaves stop strings behind the seam to the engine', () => {
    expect(feed('abc', ['END'], ['x END y'])).toEqual({ text: 'x END y', stopped: false });
  });

  it('agrees with a search in the joined text, for any cutting', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 });
    fc.assert(
      fc.property(
        letters,
        fc.array(letters, { maxLength: 5 }),
        fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), {
          maxLength: 2,
        }),
        (delivered, pieces, stops) => {
          const after = pieces.join('');
          const joined = delivered + after;
          const crosses = stops.some((stop) => {
            for (
              let start = Math.max(0, delivered.length - stop.length + 1);
              start < delivered.length;
              start++
            ) {
              if (joined.startsWith(stop, start)) return true;
            }
            return false;
          });
          const { text, stopped } = feed(delivered, stops, pieces);
          expect(stopped).toBe(crosses);
          if (!crosses) expect(text).toBe(after);
        },
      ),
      { numRuns: 10_000 },
    );
  });
});
