/**
 * Times one operation many times: percentiles of single calls, and the mean of a long run (a single call of some ten
 * nanoseconds is below what the clock resolves). Prints one line; asserts nothing, because the machine may be busy.
 */
export interface Measured {
  name: string;
  calls: number;
  meanUs: number;
  p50Us: number;
  p95Us: number;
  p99Us: number;
}

export function measure(name: string, calls: number, operation: (call: number) => void): Measured {
  for (let call = 0; call < Math.min(calls, 20_000); call++) operation(call);
  const spans = new Float64Array(calls);
  for (let call = 0; call < calls; call++) {
    const start = performance.now();
    operation(call);
    spans[call] = performance.now() - start;
  }
  const start = performance.now();
  for (let call = 0; call < calls; call++) operation(call);
  const meanUs = ((performance.now() - start) / calls) * 1000;
  spans.sort();
  const at = (share: number) => spans[Math.min(calls - 1, Math.floor(calls * share))]! * 1000;
  return { name, calls, meanUs, p50Us: at(0.5), p95Us: at(0.95), p99Us: at(0.99) };
}

export function print({ name, calls, meanUs, p50Us, p95Us, p99Us }: Measured): void {
  const us = (value: number) => `${value.toFixed(2)} µs`.padStart(11);
  console.log(
    `${name.padEnd(52)} mean${us(meanUs)}  p50${us(p50Us)}  p95${us(p95Us)}  p99${us(p99Us)}  n=${calls}`,
  );
}
