/** A whole OpenAI chat answer in one form for all dialects. Only the first choice counts. */
import { isRecord } from '../json/parse-object.ts';
import { reasoningOf } from '../openai/delivered-stream.ts';
import { logprobsOf, type TokenLogprob } from './chat-logprobs.ts';
import { type ContentEvent, stopSequenceOf } from './chat-stream.ts';
import { type CanonicalUsage, readUsage } from './chat-usage.ts';

export interface CanonicalAnswer {
  id: string | null;
  reasoning: string;
  text: string;
  logprobs: readonly TokenLogprob[];
  refusal: string;
  toolCalls: { id: string | null; name: string | null; arguments: string }[];
  /** `stop` where the engine does not say. */
  finishReason: string;
  stopSequence: string | null;
  usage: CanonicalUsage | null;
}

/** Null when `body` is not a chat answer. */
export function readChatAnswer(body: unknown): CanonicalAnswer | null {
  if (!isRecord(body) || !Array.isArray(body.choices)) return null;
  const choice: unknown = body.choices[0];
  if (!isRecord(choice) || !isRecord(choice.message)) return null;
  const { message } = choice;
  return {
    id: typeof body.id === 'string' && body.id !== '' ? body.id : null,
    reasoning: reasoningOf(message),
    text: typeof message.content === 'string' ? message.content : '',
    logprobs: logprobsOf(choice),
    refusal: typeof message.refusal === 'string' ? message.refusal : '',
    toolCalls: toolCallsOf(message),
    finishReason: typeof choice.finish_reason === 'string' ? choice.finish_reason : 'stop',
    stopSequence: stopSequenceOf(choice),
    usage: readUsage(body.usage),
  };
}

/** The same content as a stream says it, in its order. */
export function contentEvents(answer: CanonicalAnswer): ContentEvent[] {
  const { reasoning, text, logprobs, refusal, toolCalls } = answer;
  return [
    ...(reasoning === '' ? [] : [{ type: 'reasoning' as const, text: reasoning }]),
    ...(text === '' ? [] : [{ type: 'text' as const, text, logprobs }]),
    ...(refusal === '' ? [] : [{ type: 'refusal' as const, text: refusal }]),
    ...toolCalls.map((call, index) => ({ type: 'tool' as const, index, ...call })),
  ];
}

function toolCallsOf(message: Record<string, unknown>): CanonicalAnswer['toolCalls'] {
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls : [];
  // The one call of the API before tools.
  const former = isRecord(message.function_call) ? [{ function: message.function_call }] : [];
  return [...calls, ...former].filter(isRecord).map(toolCallOf);
}

function toolCallOf(call: Record<string, unknown>): CanonicalAnswer['toolCalls'][number] {
  const fn = isRecord(call.function) ? call.function : {};
  return {
    id: typeof call.id === 'string' && call.id !== '' ? call.id : null,
    name: typeof fn.name === 'string' && fn.name !== '' ? fn.name : null,
    arguments: typeof fn.arguments === 'string' ? fn.arguments : '',
  };
}
