/** A whole OpenAI chat answer in one form for all dialects. Only the first choice counts. */
import { isRecord } from '../json/parse-object.ts';
import { reasoningOf } from '../openai/delivered-stream.ts';
import { stopSequenceOf } from './chat-stream.ts';
import { type CanonicalUsage, readUsage } from './chat-usage.ts';

export interface CanonicalAnswer {
  id: string | null;
  reasoning: string;
  text: string;
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
    refusal: typeof message.refusal === 'string' ? message.refusal : '',
    toolCalls: (Array.isArray(message.tool_calls) ? message.tool_calls : []).filter(isRecord).map(toolCallOf),
    finishReason: typeof choice.finish_reason === 'string' ? choice.finish_reason : 'stop',
    stopSequence: stopSequenceOf(choice),
    usage: readUsage(body.usage),
  };
}

function toolCallOf(call: Record<string, unknown>): CanonicalAnswer['toolCalls'][number] {
  const fn = isRecord(call.function) ? call.function : {};
  return {
    id: typeof call.id === 'string' && call.id !== '' ? call.id : null,
    name: typeof fn.name === 'string' && fn.name !== '' ? fn.name : null,
    arguments: typeof fn.arguments === 'string' ? fn.arguments : '',
  };
}
