/**
 * `input` of a Responses request as a list of items, each checked and in the one form in which it is stored and listed. What
 * we cannot hand to an engine is refused by name, never dropped.
 */
import { isRecord } from '../json/parse-object.ts';
import { itemIdOf } from './item-ids.ts';
import { refuseField } from './refuse-field.ts';

/** An item in its stored form; `type` and `id` are always there. */
export type Item = Readonly<Record<string, unknown>> & { readonly type: string; readonly id: string };

export type InputEntry = { kind: 'item'; item: Item } | { kind: 'reference'; id: string; param: string };

const MESSAGE_ROLES = ['user', 'system', 'developer', 'assistant'];
const SUPPORTED_ITEMS = 'message, function_call, function_call_output, reasoning, item_reference';

/** Ids of new items are derived from the response's. */
export function parseInput(input: unknown, responseId: string): InputEntry[] {
  if (typeof input === 'string') {
    const content = [{ type: 'input_text', text: input }];
    const id = itemIdOf(responseId, 'msg', 'input', 0);
    return [{ kind: 'item', item: { id, type: 'message', role: 'user', status: 'completed', content } }];
  }
  if (!Array.isArray(input)) throw refuseField('input', input, 'a string or an array of items');
  return input.map((item, index) => parseItem(item, `input[${index}]`, responseId, index));
}

function parseItem(item: unknown, param: string, responseId: string, index: number): InputEntry {
  if (!isRecord(item)) throw refuseField(param, item, 'an item, which is an object');
  const type = item.type ?? (item.role === undefined ? undefined : 'message');
  switch (type) {
    case 'message':
      return { kind: 'item', item: messageItem(item, param, itemIdOf(responseId, 'msg', 'input', index)) };
    case 'function_call':
      return { kind: 'item', item: callItem(item, param, itemIdOf(responseId, 'fc', 'input', index)) };
    case 'function_call_output':
      return { kind: 'item', item: callOutputItem(item, param, itemIdOf(responseId, 'fco', 'input', index)) };
    case 'reasoning':
      return { kind: 'item', item: reasoningItem(item, param, itemIdOf(responseId, 'rs', 'input', index)) };
    case 'item_reference':
      return { kind: 'reference', id: textOf(item, 'id', param), param: `${param}.id` };
    default:
      throw refuseField(`${param}.type`, type, `one of ${SUPPORTED_ITEMS}`);
  }
}

function messageItem(item: Record<string, unknown>, param: string, id: string): Item {
  const { role, content } = item;
  if (typeof role !== 'string' || !MESSAGE_ROLES.includes(role))
    throw refuseField(`${param}.role`, role, `one of ${MESSAGE_ROLES.join(', ')}`);
  const textType = role === 'assistant' ? 'output_text' : 'input_text';
  const parts =
    typeof content === 'string'
      ? [textPart(textType, content)]
      : parseParts(content, `${param}.content`, textType);
  return { id: idOf(item, param, id), type: 'message', role, status: 'completed', content: parts };
}

function textPart(type: 'input_text' | 'output_text', text: string): Record<string, unknown> {
  return type === 'output_text' ? { type, text, annotations: [] } : { type, text };
}

function parseParts(content: unknown, param: string, textType: 'input_text' | 'output_text') {
  if (!Array.isArray(content)) throw refuseField(param, content, 'a string or an array of parts');
  return content.map((part, index) => parsePart(part, `${param}[${index}]`, textType));
}

function parsePart(part: unknown, param: string, textType: 'input_text' | 'output_text') {
  if (!isRecord(part)) throw refuseField(param, part, 'an object such as {"type":"input_text","text":"..."}');
  switch (part.type) {
    case 'input_text':
    case 'output_text':
      return textPart(textType, textOf(part, 'text', param));
    case 'refusal':
      return { type: 'refusal', refusal: textOf(part, 'refusal', param) };
    case 'input_image':
      return imagePart(part, param);
    case 'input_file':
      return filePart(part, param);
    case 'input_audio':
      if (!isRecord(part.input_audio))
        throw refuseField(`${param}.input_audio`, part.input_audio, 'an object with data and format');
      return { type: 'input_audio', input_audio: part.input_audio };
    default:
      throw refuseField(
        `${param}.type`,
        part.type,
        'one of input_text, output_text, refusal, input_image, input_file, input_audio',
      );
  }
}

function imagePart(part: Record<string, unknown>, param: string) {
  const { image_url: url, detail = 'auto' } = part;
  if (typeof url !== 'string')
    throw refuseField(
      `${param}.image_url`,
      url,
      'an address or a data URL; uploaded files (file_id) are not kept here',
    );
  if (typeof detail !== 'string') throw refuseField(`${param}.detail`, detail, '"auto", "low" or "high"');
  return { type: 'input_image', image_url: url, detail };
}

function filePart(part: Record<string, unknown>, param: string) {
  const { file_data: data, filename } = part;
  if (typeof data !== 'string')
    throw refuseField(
      `${param}.file_data`,
      data,
      'the file itself as a data URL; file_url and file_id are not fetched here',
    );
  if (filename !== undefined && typeof filename !== 'string')
    throw refuseField(`${param}.filename`, filename, 'a string');
  return { type: 'input_file', file_data: data, ...(filename !== undefined && { filename }) };
}

function callItem(item: Record<string, unknown>, param: string, id: string): Item {
  return {
    id: idOf(item, param, id),
    type: 'function_call',
    status: 'completed',
    call_id: textOf(item, 'call_id', param),
    name: textOf(item, 'name', param),
    arguments: textOf(item, 'arguments', param),
  };
}

function callOutputItem(item: Record<string, unknown>, param: string, id: string): Item {
  const { output } = item;
  return {
    id: idOf(item, param, id),
    type: 'function_call_output',
    status: 'completed',
    call_id: textOf(item, 'call_id', param),
    output: typeof output === 'string' ? output : parseParts(output, `${param}.output`, 'input_text'),
  };
}

function reasoningItem(item: Record<string, unknown>, param: string, id: string): Item {
  const { summary = [], content, encrypted_content: encrypted = null } = item;
  const parts = (name: string, value: unknown, type: string) => {
    if (!Array.isArray(value)) throw refuseField(`${param}.${name}`, value, 'an array of parts');
    return value.map((part, index) => {
      const at = `${param}.${name}[${index}]`;
      if (!isRecord(part) || part.type !== type) throw refuseField(at, part, `an object of type ${type}`);
      return { type, text: textOf(part, 'text', at) };
    });
  };
  return {
    id: idOf(item, param, id),
    type: 'reasoning',
    summary: parts('summary', summary, 'summary_text'),
    ...(content !== undefined &&
      content !== null && { content: parts('content', content, 'reasoning_text') }),
    ...(typeof encrypted === 'string' && { encrypted_content: encrypted }),
  };
}

/** An item that a client sends back keeps the id under which we gave it out. */
function idOf(item: Record<string, unknown>, param: string, fallback: string): string {
  const { id } = item;
  if (id === undefined || id === null) return fallback;
  if (typeof id !== 'string' || id === '') throw refuseField(`${param}.id`, id, 'a string');
  return id;
}

function textOf(fields: Record<string, unknown>, name: string, param: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw refuseField(`${param}.${name}`, value, 'a string');
  return value;
}
