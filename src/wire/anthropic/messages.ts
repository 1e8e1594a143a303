/**
 * The conversation: system prompt and turns become canonical messages. Turns of one role that follow each other become one
 * message, as the vendor says; results of tools become messages of their own, right after the call that they answer.
 */
import {
  assistantMessage,
  type CanonicalMessage,
  type CanonicalToolCall,
  type ContentPart,
  simplestContent,
  type ToolMessage,
  type UserMessage,
} from '../canonical/chat-request.ts';
import { isRecord, showFound } from '../json/parse-object.ts';
import { writeJson } from '../json/write-json.ts';
import { contentParts, textOf } from './content-parts.ts';
import {
  arrayAt,
  booleanAt,
  type Fields,
  isSet,
  nameAt,
  recordAt,
  refuse,
  refuseUse,
  stringAt,
} from './request-fields.ts';

/** How some clients mark a system block that changes with every request; in a prompt it would defeat each prefix cache. */
const BILLING_BLOCK = 'x-anthropic-billing-header';

export function translateMessages(fields: Fields): CanonicalMessage[] {
  const turns = arrayAt('messages', fields.messages);
  if (turns.length === 0) throw refuse('messages', turns, 'at least one message');
  const messages: CanonicalMessage[] = [];
  if (isSet(fields.system)) addSystem(messages, 'system', fields.system);
  for (const [index, value] of turns.entries()) {
    const param = `messages.${index}`;
    const turn = recordAt(param, value);
    if (turn.role === 'user') addUser(messages, `${param}.content`, turn.content);
    else if (turn.role === 'assistant') addAssistant(messages, `${param}.content`, turn.content);
    else if (turn.role === 'system') addSystem(messages, `${param}.content`, turn.content);
    else throw refuse(`${param}.role`, turn.role, '"user", "assistant" or "system"');
  }
  if (messages.every(({ role }) => role === 'system'))
    throw refuse('messages', turns, 'at least one message of the user');
  return messages;
}

function addSystem(messages: CanonicalMessage[], param: string, content: unknown): void {
  const kept = Array.isArray(content) ? content.filter((block) => !isBillingBlock(block)) : content;
  const text = textOf(param, kept, '\n');
  if (text !== '') messages.push({ role: 'system', content: text });
}

function isBillingBlock(block: unknown): boolean {
  return isRecord(block) && typeof block.text === 'string' && block.text.startsWith(BILLING_BLOCK);
}

function blocksOf(param: string, content: unknown): Record<string, unknown>[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) throw refuse(param, content, 'a string or an array of content blocks');
  return content.map((item, index) => recordAt(`${param}.${index}`, item));
}

function addUser(messages: CanonicalMessage[], param: string, content: unknown): void {
  const parts: ContentPart[] = [];
  let results = 0;
  for (const [index, block] of blocksOf(param, content).entries()) {
    const at = `${param}.${index}`;
    if (block.type === 'tool_result') {
      messages.push(toolMessage(at, block, parts));
      results++;
    } else parts.push(...contentParts(at, block));
  }
  if (parts.length === 0 && results > 0) return;
  const last = messages.at(-1);
  if (last?.role === 'user') last.content = simplestContent([...partsOf(last), ...parts]);
  else messages.push({ role: 'user', content: simplestContent(parts) });
}

function partsOf({ content }: UserMessage): ContentPart[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

/** What of a result is not text goes into the user's message that follows: messages of tools are text. */
function toolMessage(param: string, block: Record<string, unknown>, parts: ContentPart[]): ToolMessage {
  const id = nameAt(`${param}.tool_use_id`, block.tool_use_id);
  const texts: string[] = [];
  const content = isSet(block.content) ? blocksOf(`${param}.content`, block.content) : [];
  for (const [index, item] of content.entries()) {
    for (const part of contentParts(`${param}.content.${index}`, item)) {
      if (part.type === 'text') texts.push(part.text);
      else parts.push(part);
    }
  }
  // There is no other place for it.
  const failed = booleanAt(`${param}.is_error`, block.is_error);
  return { role: 'tool', tool_call_id: id, content: `${failed ? 'Error: ' : ''}${texts.join('\n')}` };
}

function addAssistant(messages: CanonicalMessage[], param: string, content: unknown): void {
  let text = '';
  let reasoning = '';
  const calls: CanonicalToolCall[] = [];
  for (const [index, block] of blocksOf(param, content).entries()) {
    const at = `${param}.${index}`;
    if (block.type === 'text') text += stringAt(`${at}.text`, block.text);
    else if (block.type === 'thinking') reasoning += stringAt(`${at}.thinking`, block.thinking);
    else if (block.type === 'tool_use') calls.push(toolCall(at, block));
    else if (block.type !== 'redacted_thinking') {
      throw refuseUse(
        `${at}.type`,
        `blocks of type ${showFound(block.type)} come from tools that run at the vendor; text, thinking and tool_use can be given`,
      );
    }
  }
  const last = messages.at(-1);
  const before = last?.role === 'assistant' ? last : { role: 'assistant' as const, content: null };
  const said = (before.content ?? '') + text;
  const called = [...(before.tool_calls ?? []), ...calls];
  const merged = assistantMessage(
    said === '' && called.length > 0 ? null : said,
    (before.reasoning ?? '') + reasoning,
    called,
  );
  if (last?.role === 'assistant') messages[messages.length - 1] = merged;
  else messages.push(merged);
}

function toolCall(param: string, block: Record<string, unknown>): CanonicalToolCall {
  return {
    id: nameAt(`${param}.id`, block.id),
    type: 'function',
    function: {
      name: nameAt(`${param}.name`, block.name),
      arguments: writeJson(`${param}.input`, recordAt(`${param}.input`, block.input ?? {})),
    },
  };
}
