/** The first rows that together hold at least so many bytes: what an eviction takes away, and no more than it must. */
export function takeUntil<Row extends { bytes: number }>(rows: readonly Row[], bytes: number): Row[] {
  const taken: Row[] = [];
  let sum = 0;
  for (const row of rows) {
    if (sum >= bytes) break;
    taken.push(row);
    sum += Number(row.bytes);
  }
  return taken;
}
