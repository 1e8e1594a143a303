/** Logprobs in the two shapes of the OpenAI API: objects with bytes (chat) and parallel arrays (completions). */
import type { GeneratedToken, TokenLogprob } from '../../contract/ports/engine-core.ts';
import { incompleteBytes } from './text-assembler.ts';

export interface ChatTokenLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  text_offset: number[];
}

/** JSON has no infinity; OpenAI and vLLM send this for what can not happen. */
const LOGPROB_FLOOR = -9999;

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** A token as text; parts of characters as OpenAI writes them: `bytes:\xe2\x82`. */
export function tokenText(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  if (incompleteBytes(bytes) === 0 && !text.includes('\ufffd')) return text;
  return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}

const finite = (logprob: number) => (Number.isFinite(logprob) ? logprob : LOGPROB_FLOOR);

export function chatLogprobs(
  tokens: readonly GeneratedToken[],
  top: number,
): { content: ChatTokenLogprob[] } {
  const entry = ({ bytes, logprob }: Pick<TokenLogprob, 'bytes' | 'logprob'>) => ({
    token: tokenText(bytes),
    logprob: finite(logprob),
    bytes: [...bytes],
  });
  return {
    content: tokens.map((token) => ({
      ...entry({ bytes: token.bytes, logprob: token.logprob ?? LOGPROB_FLOOR }),
      top_logprobs: (token.topLogprobs ?? []).slice(0, top).map(entry),
    })),
  };
}

/** @param textOffset characters of the answer before these tokens. */
export function completionLogprobs(
  tokens: readonly GeneratedToken[],
  top: number,
  textOffset: number,
): CompletionLogprobs {
  const shape: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let offset = textOffset;
  for (const token of tokens) {
    const text = tokenText(token.bytes);
    const logprob = finite(token.logprob ?? LOGPROB_FLOOR);
    const best = (token.topLogprobs ?? [])
      .slice(0, top)
      .map((one) => [tokenText(one.bytes), finite(one.logprob)]);
    shape.tokens.push(text);
    shape.token_logprobs.push(logprob);
    // vLLM reports the sampled token besides the best ones.
    shape.top_logprobs.push({ ...Object.fromEntries(best), [text]: logprob });
    shape.text_offset.push(offset);
    offset += decoder.decode(token.bytes).length;
  }
  return shape;
}
