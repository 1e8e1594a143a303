/**
 * Builds a response's output from the canonical events of an answer, and says the events of it on the way. Text and reasoning
 * follow each other, so that one ends where the other begins; calls may come mixed with one another and stay open to the end.
 */
import type { ContentEvent } from '../canonical/chat-stream.ts';
import { itemIdOf } from './item-ids.ts';
import {
  CallItem,
  type Emit,
  type ItemPosition,
  type ItemStatus,
  MessageItem,
  type OutputItem,
  ReasoningItem,
} from './output-items.ts';

interface Entry {
  item: OutputItem;
  status: ItemStatus;
}

/** A call whose item waits for its name. */
interface PendingCall {
  item: CallItem | null;
  callId: string | null;
  /** Arguments that came before the name. */
  early: string;
}

export class OutputBuilder {
  readonly #responseId: string;
  readonly #emit: Emit;
  readonly #entries: Entry[] = [];
  /** Text or reasoning that may still grow. */
  #open: { entry: Entry; item: MessageItem | ReasoningItem } | null = null;
  readonly #calls = new Map<number, PendingCall>();
  readonly #callIds = new Set<string>();
  #abandoned = false;

  constructor(responseId: string, emit: Emit) {
    this.#responseId = responseId;
    this.#emit = emit;
  }

  add(event: ContentEvent): void {
    if (event.type === 'reasoning') this.#reasoning().add(event.text);
    else if (event.type === 'text') this.#message().addText(event.text, event.logprobs);
    else if (event.type === 'refusal') this.#message().addRefusal(event.text);
    else this.#addCall(event);
  }

  /** All is said: what is open ends here. With `incomplete`, what was written last was cut. */
  finish(status: 'completed' | 'incomplete'): void {
    for (const call of this.#calls.values()) if (call.item === null) this.#openCall(call, '');
    const last = this.#entries.at(-1);
    for (const entry of this.#entries) {
      if (entry.status === 'in_progress') this.#close(entry, entry === last ? status : 'completed');
    }
    this.#open = null;
  }

  /** The answer broke off: nothing more is said, and a call that is not whole is nobody's to carry out. */
  abandon(): void {
    this.#abandoned = true;
    for (const entry of this.#entries) if (entry.status === 'in_progress') entry.status = 'incomplete';
    this.#open = null;
  }

  get output(): Record<string, unknown>[] {
    return this.#entries
      .filter(({ item, status }) => !this.#abandoned || item.kind !== 'call' || status === 'completed')
      .map(({ item, status }) => item.json(status));
  }

  #message(): MessageItem {
    if (this.#open?.item.kind === 'message') return this.#open.item;
    this.#closeOpen();
    const item = new MessageItem(this.#nextPosition('msg'));
    this.#open = { entry: this.#keep(item), item };
    return item;
  }

  #reasoning(): ReasoningItem {
    if (this.#open?.item.kind === 'reasoning') return this.#open.item;
    this.#closeOpen();
    const item = new ReasoningItem(this.#nextPosition('rs'));
    this.#open = { entry: this.#keep(item), item };
    return item;
  }

  #addCall({ index, id, name, arguments: text }: Extract<ContentEvent, { type: 'tool' }>): void {
    const pending = this.#calls.get(index) ?? { item: null, callId: null, early: '' };
    this.#calls.set(index, pending);
    pending.callId ??= id;
    if (name !== null) {
      if (pending.item === null) this.#openCall(pending, name);
      else pending.item.addName(name);
    }
    if (text === '') return;
    if (pending.item === null) pending.early += text;
    else pending.item.addArguments(text);
  }

  #openCall(call: PendingCall, name: string): void {
    this.#closeOpen();
    const position = this.#nextPosition('fc');
    call.item = new CallItem(position, { callId: this.#uniqueCallId(call.callId, position.id), name });
    this.#keep(call.item);
    if (call.early !== '') call.item.addArguments(call.early);
  }

  /** Outputs of calls are told apart by this id, so an engine that gives one twice, or none, is given ours. */
  #uniqueCallId(given: string | null, itemId: string): string {
    const callId = given === null || this.#callIds.has(given) ? `call_${itemId.slice('fc_'.length)}` : given;
    this.#callIds.add(callId);
    return callId;
  }

  #closeOpen(): void {
    if (this.#open !== null) this.#close(this.#open.entry, 'completed');
    this.#open = null;
  }

  #close(entry: Entry, status: 'completed' | 'incomplete'): void {
    entry.status = status;
    entry.item.close(status);
  }

  #nextPosition(kind: 'msg' | 'fc' | 'rs'): ItemPosition {
    const outputIndex = this.#entries.length;
    return { id: itemIdOf(this.#responseId, kind, 'output', outputIndex), outputIndex, emit: this.#emit };
  }

  #keep(item: OutputItem): Entry {
    const entry: Entry = { item, status: 'in_progress' };
    this.#entries.push(entry);
    return entry;
  }
}
