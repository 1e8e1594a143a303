/** The vendor's message object and its blocks, as answers carry them. All keys are there, null where nothing is to be said. */
import type { CanonicalUsage } from '../canonical/chat-usage.ts';

export type ContentBlock =
  | { type: 'text'; text: string; citations: null }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown; caller: { type: 'direct' } };

export interface MessageDeltaUsage {
  input_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
  output_tokens: number;
  output_tokens_details: { thinking_tokens: number } | null;
  server_tool_use: null;
}

export type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use' | 'refusal';

export interface Stop {
  stop_reason: StopReason | null;
  stop_sequence: string | null;
  stop_details: { type: 'refusal'; category: null; explanation: null } | null;
  container: null;
}

export const NO_STOP: Stop = { stop_reason: null, stop_sequence: null, stop_details: null, container: null };

/** Prompt tokens that came from the engine's cache are counted apart, as the vendor does. */
export function deltaUsage(usage: CanonicalUsage): MessageDeltaUsage {
  return {
    input_tokens: usage.promptTokens - usage.cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: usage.cachedTokens,
    output_tokens: usage.completionTokens,
    output_tokens_details: usage.reasoningTokens === null ? null : { thinking_tokens: usage.reasoningTokens },
    server_tool_use: null,
  };
}

export interface MessageSource {
  id: string;
  model: string;
  content: ContentBlock[];
  stop: Stop;
  usage: CanonicalUsage;
}

export function messageObject({ id, model, content, stop, usage }: MessageSource): Record<string, unknown> {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content,
    ...stop,
    diagnostics: null,
    usage: {
      ...deltaUsage(usage),
      cache_creation: null,
      inference_geo: null,
      service_tier: 'standard',
      speed: null,
    },
  };
}

/** Made of the engine's own id, so that both logs can be joined. */
export function messageId(engineId: string | null, requestId: string): string {
  return `msg_${(engineId ?? requestId).replace(/^chatcmpl-/, '')}`;
}

/** For engines that name their calls not at all; unique within the message. */
export function toolUseId(engineId: string | null, message: string, index: number): string {
  return engineId ?? `toolu_${message.replace(/^msg_/, '')}_${index}`;
}

export interface FinishFacts {
  reason: string;
  stopSequence: string | null;
  stopSequences: readonly string[];
  calledTools: boolean;
  refused: boolean;
}

/** Null for an answer that the engine itself broke off. */
export function stopOf(facts: FinishFacts): Stop | null {
  const { reason, stopSequence, stopSequences } = facts;
  if (reason === 'abort' || reason === 'error') return null;
  if (reason === 'content_filter' || facts.refused) {
    const stop_details = { type: 'refusal' as const, category: null, explanation: null };
    return { ...NO_STOP, stop_reason: 'refusal', stop_details };
  }
  if (reason === 'length') return { ...NO_STOP, stop_reason: 'max_tokens' };
  // Engines also say `stop` when a named tool was demanded and called.
  if (reason === 'tool_calls' || facts.calledTools) return { ...NO_STOP, stop_reason: 'tool_use' };
  if (stopSequence !== null && stopSequences.includes(stopSequence))
    return { ...NO_STOP, stop_reason: 'stop_sequence', stop_sequence: stopSequence };
  return { ...NO_STOP, stop_reason: 'end_turn' };
}
