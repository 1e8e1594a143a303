/**
 * How long a step of an engine with continuous batching takes: c0 + c1·prefill + c2·prefill² + c3·batch + c4·context. The
 * simulator takes its time from it and the planner counts replicas with it, so that both pretend the same engine.
 */
export interface StepCosts {
  /** Milliseconds per step: reading the weights, launching kernels. */
  c0: number;
  /** Per token of prefill. */
  c1: number;
  /** Per squared token of prefill: attention. */
  c2: number;
  /** Per sequence that decodes. */
  c3: number;
  /** Per token of context of the sequences that decode. */
  c4: number;
}

export interface StepLoad {
  prefillTokens: number;
  decodeBatch: number;
  /** Context tokens, summed over the decoding sequences. */
  decodeContext: number;
}

export function stepMs(costs: StepCosts, { prefillTokens, decodeBatch, decodeContext }: StepLoad): number {
  return (
    costs.c0 +
    costs.c1 * prefillTokens +
    costs.c2 * prefillTokens ** 2 +
    costs.c3 * decodeBatch +
    costs.c4 * decodeContext
  );
}
