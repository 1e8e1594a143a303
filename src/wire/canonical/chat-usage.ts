/** Token counts of an OpenAI answer, in one form for all dialects. */
import { isRecord } from '../json/parse-object.ts';

export interface CanonicalUsage {
  /** All tokens of the prompt, cached ones included. */
  promptTokens: number;
  completionTokens: number;
  /** Never more than `promptTokens`; 0 where the engine does not say. */
  cachedTokens: number;
  /** Null where the engine does not say. */
  reasoningTokens: number | null;
}

/** Null when `usage` holds no counts. */
export function readUsage(usage: unknown): CanonicalUsage | null {
  if (!isRecord(usage)) return null;
  const promptTokens = countOf(usage.prompt_tokens);
  if (promptTokens === null) return null;
  const prompt = isRecord(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const completion = isRecord(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  return {
    promptTokens,
    completionTokens: countOf(usage.completion_tokens) ?? 0,
    cachedTokens: Math.min(countOf(prompt.cached_tokens) ?? 0, promptTokens),
    reasoningTokens: countOf(completion.reasoning_tokens),
  };
}

function countOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
