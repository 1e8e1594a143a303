/** Counts of durations in buckets that grow by 1 %: a percentile is off by at most half of that, and memory stays small. */
const GROWTH = Math.log(1.01);
const LEAST_MS = 0.01;

export class LatencyHistogram {
  readonly #counts: number[] = [];
  #total = 0;
  /** All sequences of a step mostly have the same gap. */
  #latest = { ms: LEAST_MS, bucket: 0 };

  add(ms: number): void {
    if (ms !== this.#latest.ms) this.#latest = { ms, bucket: bucketOf(ms) };
    const { bucket } = this.#latest;
    while (this.#counts.length <= bucket) this.#counts.push(0);
    this.#counts[bucket]!++;
    this.#total++;
  }

  /** 0 where nothing was counted. @param percent 0..100 */
  percentile(percent: number): number {
    const wanted = (this.#total * percent) / 100;
    let seen = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count;
      if (count > 0 && seen >= wanted) return LEAST_MS * Math.exp(bucket * GROWTH);
    }
    return 0;
  }
}

function bucketOf(ms: number): number {
  return Math.max(0, Math.round(Math.log(Math.max(ms, LEAST_MS) / LEAST_MS) / GROWTH));
}
