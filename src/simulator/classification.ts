/** Classes of the pretend model: what its embedding of a text says of each label. Alike texts are of one class. */
import { createRandom, mix32 } from '../base/random.ts';
import { embedTokens } from './embedding.ts';

/** As models are published that name none. */
const LABELS = ['LABEL_0', 'LABEL_1'] as const;
/** How sure it is: the larger, the nearer to 0 and 1. */
const SHARPNESS = 8;

export function classifyTokens(
  modelSeed: number,
  tokens: readonly number[],
): { label: string; probs: number[] } {
  const vector = embedTokens(modelSeed, tokens);
  const scores = LABELS.map((_, place) => {
    const random = createRandom(mix32(modelSeed, place, 0x636c73));
    return vector.reduce((sum, value) => sum + value * (random.next() - 0.5), 0);
  });
  const weights = scores.map((score) => Math.exp(SHARPNESS * score));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const probs = weights.map((weight) => weight / total);
  const best = probs.indexOf(Math.max(...probs));
  return { label: LABELS[best] ?? LABELS[0], probs };
}
