/**
 * A conversation of Responses items as the messages of a chat request. Items of one assistant turn (reasoning, text, calls)
 * become one message, as chat has it; leading system texts become one, since many templates take only one.
 */
import { isRecord } from '../json/parse-object.ts';
import { textFrom } from '../json/scalars.ts';
import type { Item } from './input-items.ts';

export type ChatMessage = Record<string, unknown>;

export function chatMessages(instructions: string | null, items: readonly Item[]): ChatMessage[] {
  const messages: ChatMessage[] = instructions === null ? [] : [{ role: 'system', content: instructions }];
  /** The assistant message that further items of the same turn go into. */
  let turn: ChatMessage | null = null;
  for (const item of items) {
    const part = assistantPart(item);
    if (part === null) {
      turn = null;
      messages.push(otherMessage(item));
    } else if (turn !== null && joins(turn, part)) {
      join(turn, part);
    } else {
      turn = { role: 'assistant', ...part };
      messages.push(turn);
    }
  }
  return withOneSystemMessage(messages.filter(saysSomething)).map(withContent);
}

/** What an item adds to an assistant message; null for items of others. */
function assistantPart(item: Item): ChatMessage | null {
  switch (item.type) {
    case 'reasoning': {
      const texts = [
        ...partTexts(item.content),
        ...(item.content === undefined ? partTexts(item.summary) : []),
      ];
      return { reasoning_content: texts.join('\n') };
    }
    case 'function_call': {
      const call = { name: item.name, arguments: item.arguments };
      return { tool_calls: [{ id: item.call_id, type: 'function', function: call }] };
    }
    case 'message':
      return item.role === 'assistant' ? { content: partTexts(item.content).join('') } : null;
    default:
      return null;
  }
}

/** Reasoning opens a turn, and a second text after calls is a turn of its own. */
function joins(turn: ChatMessage, part: ChatMessage): boolean {
  if (part.reasoning_content !== undefined)
    return turn.content === undefined && turn.tool_calls === undefined;
  if (part.content !== undefined) return turn.tool_calls === undefined;
  return true;
}

function join(turn: ChatMessage, part: ChatMessage): void {
  if (typeof part.reasoning_content === 'string')
    turn.reasoning_content = [turn.reasoning_content, part.reasoning_content].filter(Boolean).join('\n');
  if (typeof part.content === 'string') turn.content = `${turn.content ?? ''}${part.content}`;
  if (Array.isArray(part.tool_calls))
    turn.tool_calls = [...(Array.isArray(turn.tool_calls) ? turn.tool_calls : []), ...part.tool_calls];
}

/** A turn that was nothing but reasoning without text has nothing to tell. */
function saysSomething(message: ChatMessage): boolean {
  return (
    message.role !== 'assistant' ||
    message.content !== undefined ||
    message.tool_calls !== undefined ||
    (typeof message.reasoning_content === 'string' && message.reasoning_content !== '')
  );
}

function withContent(message: ChatMessage): ChatMessage {
  const { role, reasoning_content: reasoning, content = null, ...rest } = message;
  return {
    role,
    ...(typeof reasoning === 'string' && reasoning !== '' && { reasoning_content: reasoning }),
    content,
    ...rest,
  };
}

function otherMessage(item: Item): ChatMessage {
  if (item.type === 'function_call_output')
    return { role: 'tool', tool_call_id: item.call_id, content: contentOf(item.output) };
  // Templates of open models know no developer.
  const role = item.role === 'developer' ? 'system' : item.role;
  return { role, content: contentOf(item.content) };
}

/** One text is a string, which every engine takes; anything more is a list of parts. */
function contentOf(content: unknown): unknown {
  if (!Array.isArray(content)) return content;
  const parts = content.map(chatPart);
  const [only] = parts;
  return parts.length === 1 && only?.type === 'text' ? only.text : parts;
}

function chatPart(part: Record<string, unknown>): Record<string, unknown> {
  switch (part.type) {
    case 'input_image':
      return {
        type: 'image_url',
        image_url: { url: part.image_url, ...(part.detail !== 'auto' && { detail: part.detail }) },
      };
    case 'input_file':
      return {
        type: 'file',
        file: { file_data: part.file_data, ...(part.filename !== undefined && { filename: part.filename }) },
      };
    case 'input_audio':
      return { type: 'input_audio', input_audio: part.input_audio };
    case 'refusal':
      return { type: 'text', text: part.refusal };
    default:
      return { type: 'text', text: part.text };
  }
}

function partTexts(parts: unknown): string[] {
  if (!Array.isArray(parts)) return [];
  return parts.filter(isRecord).map((part) => textFrom(part.text ?? part.refusal));
}

function withOneSystemMessage(messages: readonly ChatMessage[]): ChatMessage[] {
  const isSystemText = ({ role, content }: ChatMessage) => role === 'system' && typeof content === 'string';
  const end = messages.findIndex((message) => !isSystemText(message));
  const count = end < 0 ? messages.length : end;
  if (count < 2) return [...messages];
  const content = messages
    .slice(0, count)
    .map((message) => message.content)
    .join('\n\n');
  return [{ role: 'system', content }, ...messages.slice(count)];
}
