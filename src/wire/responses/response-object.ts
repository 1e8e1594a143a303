/** The response object: what clients read at the start and the end of a stream, and whenever they come back for it. */
import type { ResponseStatus } from '../../contract/ports/response-store.ts';
import { isRecord } from '../json/parse-object.ts';

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

/** Chat's `usage` in the words of this API; null when there is none. */
export function responseUsage(usage: unknown): Record<string, unknown> | null {
  if (!isRecord(usage)) return null;
  const { prompt_tokens: input, completion_tokens: output } = usage;
  if (typeof input !== 'number' || typeof output !== 'number') return null;
  const promptDetails = isRecord(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const outputDetails = isRecord(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: countOf(promptDetails.cached_tokens), cache_write_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: countOf(outputDetails.reasoning_tokens) },
    total_tokens: input + output,
  };
}

function countOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** How a chat answer's `finish_reason` ends a response. */
export function endOf(finishReason: unknown): Pick<ResponseState, 'incompleteReason'> & {
  status: 'completed' | 'incomplete';
} {
  if (finishReason === 'length') return { status: 'incomplete', incompleteReason: 'max_output_tokens' };
  if (finishReason === 'content_filter') return { status: 'incomplete', incompleteReason: 'content_filter' };
  return { status: 'completed' };
}
