/**
 * Reads token counts from the end of an answer without parsing all of it: the `usage` object stands last in unary bodies,
 * and in the last events of streams.
 */
export interface TokenUsage {
  promptTokens: number;
  completionTokens: number;
}

const TAIL_BYTES = 4096;

/** Null when the tail holds no usage object. */
export function usageInTail(bytes: Buffer): TokenUsage | null {
  const tail = bytes.subarray(Math.max(0, bytes.length - TAIL_BYTES));
  const at = tail.lastIndexOf('"usage"');
  if (at < 0) return null;
  const text = tail.toString('latin1', at);
  const prompt = /"prompt_tokens"\s*:\s*(\d+)/.exec(text);
  const completion = /"completion_tokens"\s*:\s*(\d+)/.exec(text);
  if (prompt === null) return null;
  return { promptTokens: Number(prompt[1]), completionTokens: Number(completion?.[1] ?? 0) };
}
