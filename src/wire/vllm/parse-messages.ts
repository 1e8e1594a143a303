/** Chat messages of a request: roles, and content as text. Parts other than text are refused, for the model takes text only. */
import type { ChatTurn } from '../../contract/ports/engine-core.ts';
import { isRecord } from '../json/parse-object.ts';
import { type Fields, refuse } from './request-fields.ts';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];

export function parseMessages(fields: Fields): ChatTurn[] {
  const messages = fields.messages;
  if (!Array.isArray(messages)) throw refuse('messages', messages, 'an array of messages');
  if (messages.length === 0) throw refuse('messages', messages, 'at least one message');
  return messages.map((message, index) => parseMessage(message, `messages[${index}]`));
}

function parseMessage(message: unknown, param: string): ChatTurn {
  if (!isRecord(message)) throw refuse(param, message, 'an object with role and content');
  const { role } = message;
  if (typeof role !== 'string' || !ROLES.includes(role)) {
    throw refuse(`${param}.role`, role, `one of ${ROLES.join(', ')}`);
  }
  return { role, content: parseContent(message, role, `${param}.content`) };
}

function parseContent(message: Record<string, unknown>, role: string, param: string): string {
  const { content } = message;
  if (typeof content === 'string') return content;
  // An assistant turn that only called tools has no text.
  if ((content === null || content === undefined) && role === 'assistant') return '';
  if (!Array.isArray(content)) throw refuse(param, content, 'a string or an array of text parts');
  return content.map((part, index) => parsePart(part, `${param}[${index}]`)).join('');
}

function parsePart(part: unknown, param: string): string {
  if (!isRecord(part)) throw refuse(param, part, 'an object such as {"type":"text","text":"..."}');
  if (part.type !== 'text') {
    throw refuse(`${param}.type`, part.type, '"text": the model takes text only');
  }
  if (typeof part.text !== 'string') throw refuse(`${param}.text`, part.text, 'a string');
  return part.text;
}
