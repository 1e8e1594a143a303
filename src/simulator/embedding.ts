/** Embeddings of the pretend model: the sum of one fixed random vector per token, scaled to length 1. Alike texts are near. */
import { createRandom, mix32 } from '../base/random.ts';

const EMBEDDING_DIMENSIONS = 64;

export function embedTokens(modelSeed: number, tokens: readonly number[]): number[] {
  const sum = new Array<number>(EMBEDDING_DIMENSIONS).fill(0);
  // The constant term keeps the empty text from being a zero vector.
  for (const token of [-1, ...tokens]) {
    const random = createRandom(mix32(modelSeed, token, 0x656d62));
    for (let i = 0; i < EMBEDDING_DIMENSIONS; i++) sum[i] = (sum[i] as number) + random.next() - 0.5;
  }
  const length = Math.hypot(...sum);
  return sum.map((value) => value / length);
}
