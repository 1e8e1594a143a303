/**
 * Messages to the text that a KServe model takes. An answer that goes on (`continue_final_message`) is set behind the open
 * turn as it is, so that no template trims it: what follows then continues the text exactly.
 *
 * Texts of users are not escaped: a tokenizer that reads raw text takes `<|im_end|>` in it for the token.
 */
import { Template } from '@huggingface/jinja';
import { PlatformError } from '../../contract/errors.ts';
import type { ChatTemplate } from '../../contract/fleet.ts';
import { isRecord, showFound } from '../json/parse-object.ts';

type Fields = Readonly<Record<string, unknown>>;

interface Message {
  role: string;
  content: string;
}

/** Parsed templates; a gateway has one per pool. */
const parsed = new Map<string, Template>();
const PARSED_MAX = 64;

/** Throws PlatformError `invalid_request` for messages that are no text, and those that the template refuses. */
export function chatPrompt(template: ChatTemplate, fields: Fields): string {
  const messages = (fields.messages as unknown[]).map(readMessage);
  const last = messages.at(-1);
  const goesOn = fields.continue_final_message === true && last?.role === 'assistant';
  const kwargs = isRecord(fields.chat_template_kwargs) ? fields.chat_template_kwargs : {};
  const prompt = render(template, {
    ...kwargs,
    messages: goesOn ? messages.slice(0, -1) : messages,
    add_generation_prompt: goesOn || (fields.add_generation_prompt ?? true) !== false,
  });
  return goesOn ? prompt + last.content : prompt;
}

/** Null when the template can be read. */
export function chatTemplateFault({ source }: ChatTemplate): string | null {
  try {
    new Template(source);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function render({ source, eosToken }: ChatTemplate, values: Record<string, unknown>): string {
  try {
    let template = parsed.get(source);
    if (template === undefined) {
      template = new Template(source);
      if (parsed.size >= PARSED_MAX) parsed.clear();
      parsed.set(source, template);
    }
    return template.render({ ...values, bos_token: '', eos_token: eosToken });
  } catch (error) {
    throw new PlatformError(
      'invalid_request',
      `messages: the chat template of the model refuses them: ${(error as Error).message}`,
      { param: 'messages', cause: error },
    );
  }
}

function readMessage(value: unknown, index: number): Message {
  const place = `messages[${index}]`;
  if (!isRecord(value)) throw refuse(place, value, 'a message with role and content');
  const { role, content } = value;
  if (typeof role !== 'string' || role === '') throw refuse(`${place}.role`, role, 'a role such as "user"');
  return { ...value, role: role === 'developer' ? 'system' : role, content: textOf(content, place) };
}

function textOf(content: unknown, place: string): string {
  if (content === null || content === undefined) return '';
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw refuse(`${place}.content`, content, 'text');
  return content
    .map((part: unknown, index) => {
      if (isRecord(part) && part.type === 'text' && typeof part.text === 'string') return part.text;
      const found = isRecord(part) ? part.type : part;
      throw refuse(`${place}.content[${index}]`, found, 'a part of type "text": KServe takes text only');
    })
    .join('');
}

function refuse(place: string, found: unknown, expected: string): PlatformError {
  return new PlatformError('invalid_request', `${place}: found ${showFound(found)}; expected ${expected}`, {
    param: 'messages',
  });
}
