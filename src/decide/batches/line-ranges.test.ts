import fc from 'fast-check';
import { it } from 'vitest';
import { mustEqual } from '../../../tests/support/must.ts';
import { addLine, countLines, firstMissing, hasLine, type LineRanges } from './line-ranges.ts';

it('holds what a set holds, in sorted ranges that never touch (10,000 cases)', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 60 }), fc.nat(45), (lines, probe) => {
      const ranges = lines.reduce<LineRanges>(addLine, []);
      const set = new Set(lines);
      mustEqual(countLines(ranges), set.size);
      mustEqual(hasLine(ranges, probe), set.has(probe));
      let missing = probe;
      while (set.has(missing)) missing++;
      mustEqual(firstMissing(ranges, probe), missing);
      for (const [index, [from, to]] of ranges.entries()) {
        mustEqual(from < to, true);
        if (index > 0) mustEqual(ranges[index - 1]![1] < from, true);
      }
    }),
    { numRuns: 10_000 },
  );
});
