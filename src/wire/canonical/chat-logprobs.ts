/** Log probabilities of the tokens of a text, as chat answers have them, whole and streamed. */
import { isRecord } from '../json/parse-object.ts';

/** `token`, `logprob`, `bytes`, `top_logprobs`, and what an engine adds. */
export type TokenLogprob = Readonly<Record<string, unknown>>;

export function logprobsOf({ logprobs }: Readonly<Record<string, unknown>>): TokenLogprob[] {
  if (!isRecord(logprobs) || !Array.isArray(logprobs.content)) return [];
  return logprobs.content.filter(isRecord);
}
