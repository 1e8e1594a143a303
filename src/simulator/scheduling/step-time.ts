/** How long a step takes: the model of a step-based engine, c0 + c1·prefill + c2·prefill² + c3·batch + c4·context. */
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

/** A small fast engine: about 10 ms per step, 2000 tokens of prefill in 80 ms. */
export const DEFAULT_STEP_COSTS: StepCosts = { c0: 10, c1: 0.032, c2: 5.3e-7, c3: 0.01, c4: 3.9e-5 };

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

/** A factor with median 1 from two draws in [0, 1): lognormal by Box-Muller. `sigma` 0 gives 1. */
export function lognormal(sigma: number, first: number, second: number): number {
  if (sigma === 0) return 1;
  const normal = Math.sqrt(-2 * Math.log(1 - first)) * Math.cos(2 * Math.PI * second);
  return Math.exp(sigma * normal);
}
