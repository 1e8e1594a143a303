/** The requests of a plan, drawn from a seed: the same ones for every size of the fleet, so that sizes can be compared. */
import { createRandom, lognormal, mix32, type Random } from '../../base/random.ts';
import type { Traffic } from '../../contract/planning.ts';
import type { PlannedSequence } from './planned-engine.ts';

/** Of lengths; the mean is as given. Coefficient of variation 0.66: between chats and documents. */
const SIGMA = 0.6;
/** Lengths are cut at so many times their mean: an engine has a longest context. */
const LONGEST_FACTOR = 6;

export interface RequestSource {
  /** Milliseconds until the next arrival. */
  gapMs(): number;
  /** @param done 0..1: how far it is already. */
  sequence(arrivedMs: number, isMeasured: boolean, done?: number): PlannedSequence;
}

export function requestSource(traffic: Traffic, seed: number): RequestSource {
  const arrivals = createRandom(mix32(seed, 1));
  const prompts = createRandom(mix32(seed, 2));
  const outputs = createRandom(mix32(seed, 3));
  const meanGapMs = 1000 / traffic.rate;
  return {
    gapMs: () => (traffic.arrivals === 'even' ? meanGapMs : -Math.log(1 - arrivals.next()) * meanGapMs),
    sequence: (arrivedMs, isMeasured, done = 0) => {
      const promptTokens = drawLength(traffic, traffic.promptTokens, prompts);
      const outputTokens = drawLength(traffic, traffic.outputTokens, outputs);
      return {
        promptTokens,
        outputTokens: Math.max(1, Math.round(outputTokens * (1 - done))),
        arrivedMs,
        // The last token of a prompt is always computed.
        cachedTokens: Math.min(promptTokens - 1, Math.floor(promptTokens * traffic.prefixHits)),
        isMeasured,
        admittedMs: 0,
        computed: 0,
        generated: 0,
        blocks: 0,
        chunk: 0,
        firstTokenMs: 0,
        lastTokenMs: 0,
      };
    },
  };
}

export function longestTokens({ lengths, promptTokens, outputTokens }: Traffic): number {
  return (promptTokens + outputTokens) * (lengths === 'fixed' ? 1 : LONGEST_FACTOR);
}

function drawLength({ lengths }: Traffic, mean: number, random: Random): number {
  if (lengths === 'fixed') return mean;
  // exp(-σ²/2) makes of the median the mean.
  const factor = Math.exp(-(SIGMA ** 2) / 2) * lognormal(SIGMA, random.next(), random.next());
  return Math.max(1, Math.round(mean * Math.min(LONGEST_FACTOR, factor)));
}
