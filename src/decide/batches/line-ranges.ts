/**
 * A set of line numbers as sorted, disjoint ranges [from, to). Lines are answered nearly in order, so it stays as short as
 * what is in flight, whatever the size of the batch. Immutable.
 */
export type LineRanges = readonly (readonly [from: number, to: number])[];

/** Index of the first range that ends after `line`. */
function place(ranges: LineRanges, line: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]![1] <= line) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function hasLine(ranges: LineRanges, line: number): boolean {
  const range = ranges[place(ranges, line)];
  return range !== undefined && range[0] <= line;
}

export function addLine(ranges: LineRanges, line: number): LineRanges {
  if (hasLine(ranges, line)) return ranges;
  const index = place(ranges, line);
  const before = ranges[index - 1];
  const after = ranges[index];
  const joinsBefore = before !== undefined && before[1] === line;
  const joinsAfter = after !== undefined && after[0] === line + 1;
  const joined: readonly [number, number] = [
    joinsBefore ? before[0] : line,
    joinsAfter ? after[1] : line + 1,
  ];
  return [
    ...ranges.slice(0, joinsBefore ? index - 1 : index),
    joined,
    ...ranges.slice(joinsAfter ? index + 1 : index),
  ];
}

export function countLines(ranges: LineRanges): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from, 0);
}

/** The first line from `line` on that is not in the set. */
export function firstMissing(ranges: LineRanges, line: number): number {
  const range = ranges[place(ranges, line)];
  return range !== undefined && range[0] <= line ? range[1] : line;
}
