/** Log probabilities that look like a model's: the chosen token first, the rest below it, the same for the same state. */
import { createRandom, mix32 } from '../base/random.ts';
import type { GeneratedToken, TokenLogprob } from '../contract/ports/engine-core.ts';
import { isSpecial, tokenBytes, VOCABULARY_SIZE } from './tokenizer.ts';

export function withLogprobs(hash: number, token: number, alternatives: number): GeneratedToken {
  const random = createRandom(mix32(hash, token, 0x6c6f67));
  let share = 0.4 + 0.6 * random.next();
  let rest = 1 - share;
  const best: TokenLogprob = { id: token, bytes: tokenBytes(token), logprob: Math.log(share) };
  const topLogprobs: TokenLogprob[] = [];
  const taken = new Set([token]);
  if (alternatives > 0) topLogprobs.push(best);
  while (topLogprobs.length < alternatives) {
    const id = random.int(VOCABULARY_SIZE);
    if (taken.has(id) || isSpecial(id)) continue;
    taken.add(id);
    share = Math.min(share, rest) * (0.3 + 0.4 * random.next());
    rest -= share;
    topLogprobs.push({ id, bytes: tokenBytes(id), logprob: Math.log(share) });
  }
  return { id: token, bytes: best.bytes, logprob: best.logprob, topLogprobs };
}
