/**
 * The items of a response's output as they grow: a message of text and refusals, a chain of reasoning, a function call. Each
 * tells its own events, from its opening to its end, in the vendor's order.
 */
import type { TokenLogprob } from '../canonical/chat-logprobs.ts';

export type Emit = (type: string, fields: Record<string, unknown>) => void;

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface OutputItem {
  readonly kind: 'message' | 'reasoning' | 'call';
  /** Whole, with what has come so far. */
  json(status: ItemStatus): Record<string, unknown>;
  /** Says that it is over; nothing is added after. */
  close(status: 'completed' | 'incomplete'): void;
}

export interface ItemPosition {
  id: string;
  outputIndex: number;
  emit: Emit;
}

interface MessagePart {
  type: 'output_text' | 'refusal';
  text: string;
  logprobs: TokenLogprob[];
}

export class MessageItem implements OutputItem {
  readonly kind = 'message';
  readonly #at: ItemPosition;
  readonly #parts: MessagePart[] = [];

  constructor(at: ItemPosition) {
    this.#at = at;
    at.emit('response.output_item.added', { output_index: at.outputIndex, item: this.json('in_progress') });
  }

  addText(delta: string, logprobs: readonly TokenLogprob[]): void {
    const part = this.#partOf('output_text');
    part.text += delta;
    part.logprobs.push(...logprobs);
    const shown = logprobs.map(withoutBytes);
    this.#at.emit('response.output_text.delta', { ...this.#place(), delta, logprobs: shown });
  }

  addRefusal(delta: string): void {
    this.#partOf('refusal').text += delta;
    this.#at.emit('response.refusal.delta', { ...this.#place(), delta });
  }

  json(status: ItemStatus): Record<string, unknown> {
    const content = this.#parts.map(partJson);
    return { id: this.#at.id, type: 'message', status, role: 'assistant', content };
  }

  close(status: 'completed' | 'incomplete'): void {
    this.#closePart();
    this.#at.emit('response.output_item.done', {
      output_index: this.#at.outputIndex,
      item: this.json(status),
    });
  }

  #partOf(type: MessagePart['type']): MessagePart {
    const last = this.#parts.at(-1);
    if (last?.type === type) return last;
    this.#closePart();
    const part: MessagePart = { type, text: '', logprobs: [] };
    this.#parts.push(part);
    this.#at.emit('response.content_part.added', { ...this.#place(), part: partJson(part) });
    return part;
  }

  #closePart(): void {
    const part = this.#parts.at(-1);
    if (part === undefined) return;
    const { text, logprobs } = part;
    if (part.type === 'refusal') this.#at.emit('response.refusal.done', { ...this.#place(), refusal: text });
    else
      this.#at.emit('response.output_text.done', {
        ...this.#place(),
        text,
        logprobs: logprobs.map(withoutBytes),
      });
    this.#at.emit('response.content_part.done', { ...this.#place(), part: partJson(part) });
  }

  #place(): Record<string, unknown> {
    return {
      item_id: this.#at.id,
      output_index: this.#at.outputIndex,
      content_index: this.#parts.length - 1,
    };
  }
}

function partJson({ type, text, logprobs }: MessagePart): Record<string, unknown> {
  if (type === 'refusal') return { type, refusal: text };
  return { type, text, annotations: [], logprobs };
}

/** Bytes stand in the final part only. */
function withoutBytes({ bytes: _bytes, top_logprobs: top, ...rest }: TokenLogprob): TokenLogprob {
  const alternatives = Array.isArray(top) ? top : [];
  return {
    ...rest,
    top_logprobs: alternatives.map(({ token, logprob: value }: Record<string, unknown>) => ({
      token,
      logprob: value,
    })),
  };
}

export class ReasoningItem implements OutputItem {
  readonly kind = 'reasoning';
  readonly #at: ItemPosition;
  #text = '';

  constructor(at: ItemPosition) {
    this.#at = at;
    const item = { id: at.id, type: 'reasoning', status: 'in_progress', summary: [], content: [] };
    at.emit('response.output_item.added', { output_index: at.outputIndex, item });
    at.emit('response.content_part.added', { ...this.#place(), part: this.#part() });
  }

  add(delta: string): void {
    this.#text += delta;
    this.#at.emit('response.reasoning_text.delta', { ...this.#place(), delta });
  }

  json(status: ItemStatus): Record<string, unknown> {
    return { id: this.#at.id, type: 'reasoning', status, summary: [], content: [this.#part()] };
  }

  close(status: 'completed' | 'incomplete'): void {
    this.#at.emit('response.reasoning_text.done', { ...this.#place(), text: this.#text });
    this.#at.emit('response.content_part.done', { ...this.#place(), part: this.#part() });
    this.#at.emit('response.output_item.done', {
      output_index: this.#at.outputIndex,
      item: this.json(status),
    });
  }

  #part(): Record<string, unknown> {
    return { type: 'reasoning_text', text: this.#text };
  }

  #place(): Record<string, unknown> {
    return { item_id: this.#at.id, output_index: this.#at.outputIndex, content_index: 0 };
  }
}

export class CallItem implements OutputItem {
  readonly kind = 'call';
  readonly #at: ItemPosition;
  readonly #callId: string;
  #name: string;
  #arguments = '';

  constructor(at: ItemPosition, call: { callId: string; name: string }) {
    this.#at = at;
    this.#callId = call.callId;
    this.#name = call.name;
    at.emit('response.output_item.added', { output_index: at.outputIndex, item: this.json('in_progress') });
  }

  addName(more: string): void {
    this.#name += more;
  }

  addArguments(delta: string): void {
    this.#arguments += delta;
    this.#at.emit('response.function_call_arguments.delta', { ...this.#place(), delta });
  }

  json(status: ItemStatus): Record<string, unknown> {
    return {
      id: this.#at.id,
      type: 'function_call',
      status,
      call_id: this.#callId,
      name: this.#name,
      arguments: this.#arguments,
    };
  }

  close(status: 'completed' | 'incomplete'): void {
    this.#at.emit('response.function_call_arguments.done', {
      ...this.#place(),
      name: this.#name,
      arguments: this.#arguments,
    });
    this.#at.emit('response.output_item.done', {
      output_index: this.#at.outputIndex,
      item: this.json(status),
    });
  }

  #place(): Record<string, unknown> {
    return { item_id: this.#at.id, output_index: this.#at.outputIndex };
  }
}
