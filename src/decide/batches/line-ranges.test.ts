import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addLine, countLines, firstMissing, hasLine, type LineRanges } from './line-ranges.ts';

it('holds what a set holds, in sorted ranges that never touch (10,000 cases)', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 60 }), fc.nat(45), (lines, probe) => {
      const ranges = lines.reduce<LineRanges>(addLine, []);
      const set = new Set(lines);
      expect(countLines(ranges)).toBe(set.size);
      expect(hasLine(ranges, probe)).toBe(set.has(probe));
      let missing = probe;
      while (set.has(missing)) missing++;
      expect(firstMissing(ranges, probe)).toBe(missing);
      for (const [index, [from, to]] of ranges.entries()) {
        expect(from).toBeLessThan(to);
        if (index > 0) expect(ranges[index - 1]![1]).toBeLessThan(from);
      }
    }),
    { numRuns: 10_000 },
  );
});
