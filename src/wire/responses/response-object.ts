/** The response object: what clients read at the start and the end of a stream, and whenever they come back for it. */
import type { ResponseStatus } from '../../contract/ports/response-store.ts';
import type { CanonicalUsage } from '../canonical/chat-usage.ts';

export interface ResponseBase {
  id: string;
  createdAtS: number;
  /** Fields that repeat the request. */
  echo: Readonly<Record<string, unknown>>;
}

export interface ResponseState {
  status: ResponseStatus;
  output: readonly Record<string, unknown>[];
  usage: Record<string, unknown> | null;
  error?: { code: string; message: string };
  incompleteReason?: string;
  completedAtS?: number;
}

export type ResponseObject = Record<string, unknown> & {
  id: string;
  status: ResponseStatus;
  output: readonly Record<string, unknown>[];
};

export function responseObject({ id, createdAtS, echo }: ResponseBase, state: ResponseState): ResponseObject {
  const { status, output, usage, error, incompleteReason, completedAtS } = state;
  return {
    id,
    object: 'response',
    created_at: createdAtS,
    status,
    completed_at: completedAtS ?? null,
    error: error ?? null,
    incomplete_details: incompleteReason === undefined ? null : { reason: incompleteReason },
    ...echo,
    output,
    usage,
  };
}

/** Counts of tokens in the words of this API. */
export function responseUsage(usage: CanonicalUsage): Record<string, unknown> {
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens } = usage;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
    total_tokens: promptTokens + completionTokens,
  };
}

/** How a chat answer's `finish_reason` ends a response. */
export function endOf(finishReason: string | null): Pick<ResponseState, 'incompleteReason'> & {
  status: 'completed' | 'incomplete';
} {
  if (finishReason === 'length') return { status: 'incomplete', incompleteReason: 'max_output_tokens' };
  if (finishReason === 'content_filter') return { status: 'incomplete', incompleteReason: 'content_filter' };
  return { status: 'completed' };
}
