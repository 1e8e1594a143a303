/** A whole answer of an engine, as a message. */
import { PlatformError } from '../../contract/errors.ts';
import type { CanonicalAnswer } from '../canonical/chat-answer.ts';
import { isRecord } from '../json/parse-object.ts';
import { type ContentBlock, messageId, messageObject, stopOf, toolUseId } from './message-shapes.ts';
import type { ThinkingDisplay } from './thinking.ts';

export interface AnswerContext {
  /** As the client named it. */
  model: string;
  requestId: string;
  stopSequences: readonly string[];
  thinking: ThinkingDisplay;
}

/** Throws `engine_failed` for what can not be said in a well-formed message. */
export function translateAnswer(answer: CanonicalAnswer, context: AnswerContext): Record<string, unknown> {
  const id = messageId(answer.id, context.requestId);
  const content = [...thinkingBlocks(answer.reasoning, context.thinking), ...textBlocks(answer)];
  for (const [index, call] of answer.toolCalls.entries()) {
    const input = parseArguments(call.arguments);
    // What the limit of tokens cut off is left out: half a call must not be carried out.
    if ((input === null || call.name === null) && answer.finishReason === 'length') continue;
    if (input === null || call.name === null) throw malformedCall(call.name);
    content.push({
      type: 'tool_use',
      id: toolUseId(call.id, id, index),
      name: call.name,
      input,
      caller: { type: 'direct' },
    });
  }
  const stop = stopOf({
    reason: answer.finishReason,
    stopSequence: answer.stopSequence,
    stopSequences: context.stopSequences,
    calledTools: answer.toolCalls.length > 0,
    refused: answer.refusal !== '',
  });
  if (stop === null) throw brokenOff(answer.finishReason);
  const usage = answer.usage ?? {
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    reasoningTokens: null,
  };
  return messageObject({ id, model: context.model, content, stop, usage });
}

function thinkingBlocks(reasoning: string, display: ThinkingDisplay): ContentBlock[] {
  if (reasoning === '' || display === 'hidden') return [];
  return [{ type: 'thinking', thinking: display === 'omitted' ? '' : reasoning, signature: '' }];
}

function textBlocks({ text, refusal }: CanonicalAnswer): ContentBlock[] {
  const said = text + refusal;
  return said === '' ? [] : [{ type: 'text', text: said, citations: null }];
}

/** Null for anything but the JSON text of an object; no text at all is a call without arguments. */
export function parseArguments(text: string): Record<string, unknown> | null {
  if (text.trim() === '') return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return isRecord(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

export function malformedCall(name: string | null): PlatformError {
  const what = name === null ? 'called a tool without naming it' : `called the tool "${name.slice(0, 100)}"`;
  return new PlatformError(
    'engine_failed',
    `the model ${what}${name === null ? '' : ' with arguments that are not a JSON object'}`,
  );
}

export function brokenOff(reason: string): PlatformError {
  return new PlatformError('engine_failed', `the engine broke the answer off (finish_reason "${reason}")`);
}
