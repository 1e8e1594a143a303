/**
 * A conversation of Responses items as canonical messages. Items of one assistant turn (reasoning, text, calls) become one
 * message, as chat has it; leading system texts become one, since many templates take only one.
 */
import {
  assistantMessage,
  type CanonicalMessage,
  type CanonicalToolCall,
  type ContentPart,
  simplestContent,
} from '../canonical/chat-request.ts';
import { isRecord } from '../json/parse-object.ts';
import { textFrom } from '../json/scalars.ts';
import type { Item } from './input-items.ts';

/** What items of the assistant have said so far. */
interface Turn {
  reasoning: string[];
  /** Null when it has said nothing. */
  text: string | null;
  calls: CanonicalToolCall[];
}

export function chatMessages(instructions: string | null, items: readonly Item[]): CanonicalMessage[] {
  const messages: CanonicalMessage[] =
    instructions === null ? [] : [{ role: 'system', content: instructions }];
  let turn: Turn | null = null;
  const endTurn = () => {
    if (turn !== null && saysSomething(turn))
      messages.push(assistantMessage(turn.text, turn.reasoning.join('\n'), turn.calls));
    turn = null;
  };
  for (const item of items) {
    if (!isOfAssistant(item)) {
      endTurn();
      messages.push(otherMessage(item));
      continue;
    }
    if (turn !== null && !joins(turn, item)) endTurn();
    turn ??= { reasoning: [], text: null, calls: [] };
    join(turn, item);
  }
  endTurn();
  return withOneSystemMessage(messages);
}

function isOfAssistant({ type, role }: Item): boolean {
  return type === 'reasoning' || type === 'function_call' || (type === 'message' && role === 'assistant');
}

/** Reasoning opens a turn, and a second text after calls is a turn of its own. */
function joins(turn: Turn, { type }: Item): boolean {
  if (type === 'reasoning') return turn.text === null && turn.calls.length === 0;
  return type === 'function_call' || turn.calls.length === 0;
}

function join(turn: Turn, item: Item): void {
  if (item.type === 'reasoning') {
    const text = partTexts(item.content === undefined ? item.summary : item.content).join('\n');
    if (text !== '') turn.reasoning.push(text);
  } else if (item.type === 'function_call') {
    const call = { name: textFrom(item.name), arguments: textFrom(item.arguments) };
    turn.calls.push({ id: textFrom(item.call_id), type: 'function', function: call });
  } else turn.text = (turn.text ?? '') + partTexts(item.content).join('');
}

/** A turn that was nothing but reasoning without text has nothing to tell. */
function saysSomething({ reasoning, text, calls }: Turn): boolean {
  return reasoning.length > 0 || text !== null || calls.length > 0;
}

function otherMessage(item: Item): CanonicalMessage {
  if (item.type === 'function_call_output')
    return { role: 'tool', tool_call_id: textFrom(item.call_id), content: contentOf(item.output) };
  // Templates of open models know no developer.
  const role = item.role === 'user' ? 'user' : 'system';
  return { role, content: contentOf(item.content) };
}

function contentOf(content: unknown): string | ContentPart[] {
  return Array.isArray(content) ? simplestContent(content.filter(isRecord).map(chatPart)) : textFrom(content);
}

/** Of a part as parseInput left it: what it must have is there. */
function chatPart(part: Record<string, unknown>): ContentPart {
  const { detail, filename } = part;
  switch (part.type) {
    case 'input_image': {
      const detailed = typeof detail === 'string' && detail !== 'auto' ? { detail } : {};
      return { type: 'image_url', image_url: { url: textFrom(part.image_url), ...detailed } };
    }
    case 'input_file': {
      const named = typeof filename === 'string' ? { filename } : {};
      return { type: 'file', file: { file_data: textFrom(part.file_data), ...named } };
    }
    case 'input_audio':
      return { type: 'input_audio', input_audio: isRecord(part.input_audio) ? part.input_audio : {} };
    default:
      return { type: 'text', text: textFrom(part.text ?? part.refusal) };
  }
}

function partTexts(parts: unknown): string[] {
  if (!Array.isArray(parts)) return [];
  return parts.filter(isRecord).map((part) => textFrom(part.text ?? part.refusal));
}

function withOneSystemMessage(messages: CanonicalMessage[]): CanonicalMessage[] {
  const texts: string[] = [];
  for (const { role, content } of messages) {
    if (role !== 'system' || typeof content !== 'string') break;
    texts.push(content);
  }
  if (texts.length < 2) return messages;
  return [{ role: 'system', content: texts.join('\n\n') }, ...messages.slice(texts.length)];
}
