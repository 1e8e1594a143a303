/**
 * Reads back what a stream has delivered so far, from the raw events that the relay kept. Nothing of this runs while all is
 * well: it is called when an engine died and its stream must go on elsewhere.
 */

import { isRecord } from '../json/parse-object.ts';
import { parseSseEvents } from '../sse/parse-event.ts';

export interface DeliveredToolCall {
  name: string;
  arguments: string;
}

export interface DeliveredChoice {
  text: string;
  reasoning: string;
  toolCalls: Map<number, DeliveredToolCall>;
  finishReason: string | null;
  /** Ids of all delivered tokens; null when any event came without. */
  tokenIds: number[] | null;
  /** A delta held more than text, reasoning and calls: what it was can not be compared with a replay. */
  opaque: boolean;
  /** Events that carried something: the number of tokens, where the engine sends one per event. */
  textEvents: number;
  /** Events of the answer itself, also those whose text is empty; neither the role alone nor the end. */
  events: number;
}

export interface Delivered {
  /** Identity of the stream: continued events carry the same. */
  id: string | null;
  created: number | null;
  model: string | null;
  roleSent: boolean;
  choices: Map<number, DeliveredChoice>;
  promptTokenIds: number[] | null;
  usage: Record<string, unknown> | null;
  done: boolean;
  /** Some event was not a JSON object: what was delivered is not fully known. */
  unreadable: boolean;
}

export function emptyDelivered(): Delivered {
  return {
    id: null,
    created: null,
    model: null,
    roleSent: false,
    choices: new Map(),
    promptTokenIds: null,
    usage: null,
    done: false,
    unreadable: false,
  };
}

/** Folds whole events, as text, into the account. */
export function addEvents(delivered: Delivered, text: string): void {
  for (const { data } of parseSseEvents(text)) {
    if (data === '[DONE]') {
      delivered.done = true;
      continue;
    }
    const chunk = parseChunk(data);
    if (chunk === null) delivered.unreadable = true;
    else addChunk(delivered, chunk);
  }
  for (const { text: whole, reasoning } of delivered.choices.values()) {
    compact(whole);
    compact(reasoning);
  }
}

/**
 * V8 keeps a text that grew by pieces as a tree of them, some 50 bytes for each token, until something reads it through: for a
 * long stream ten times the text.
 */
function compact(text: string): void {
  text.charCodeAt(0);
}

/** The JSON object in an event's data; null when there is none. */
export function parseChunk(data: string): Record<string, unknown> | null {
  try {
    const chunk: unknown = JSON.parse(data);
    return isRecord(chunk) ? chunk : null;
  } catch {
    return null;
  }
}

/** Whether every choice of the answer has ended; those in `ended` have elsewhere. `expected`: how many choices it has. */
export function allFinished(
  { choices }: Delivered,
  expected: number,
  ended: ReadonlySet<number> = new Set(),
): boolean {
  const indexes = new Set([...Array(expected).keys(), ...choices.keys()]);
  return [...indexes].every(
    (index) => ended.has(index) || typeof choices.get(index)?.finishReason === 'string',
  );
}

function addChunk(delivered: Delivered, chunk: Record<string, unknown>): void {
  if (typeof chunk.id === 'string') delivered.id ??= chunk.id;
  if (typeof chunk.created === 'number') delivered.created ??= chunk.created;
  if (typeof chunk.model === 'string') delivered.model ??= chunk.model;
  if (isRecord(chunk.usage)) delivered.usage = chunk.usage;
  if (isIdArray(chunk.prompt_token_ids)) delivered.promptTokenIds ??= chunk.prompt_token_ids;
  if (!Array.isArray(chunk.choices)) return;
  for (const choice of chunk.choices) {
    if (isRecord(choice)) addChoice(delivered, choice);
  }
}

export function choiceOf(delivered: Delivered, index: number): DeliveredChoice {
  let choice = delivered.choices.get(index);
  if (choice === undefined) {
    choice = {
      text: '',
      reasoning: '',
      toolCalls: new Map(),
      finishReason: null,
      tokenIds: [],
      opaque: false,
      textEvents: 0,
      events: 0,
    };
    delivered.choices.set(index, choice);
  }
  return choice;
}

function addChoice(delivered: Delivered, event: Record<string, unknown>): void {
  const choice = choiceOf(delivered, typeof event.index === 'number' ? event.index : 0);
  const delta = isRecord(event.delta) ? event.delta : {};
  if (typeof delta.role === 'string') delivered.roleSent = true;
  const text = textOf(event);
  const reasoning = reasoningOf(delta);
  choice.text += text;
  choice.reasoning += reasoning;
  if ((typeof event.text === 'string' || typeof delta.content === 'string') && finishReasonOf(event) === null)
    choice.events++;
  const calls = Array.isArray(delta.tool_calls) ? delta.tool_calls : [];
  for (const call of calls) addToolCall(choice, call);
  if (carriesMore(delta)) choice.opaque = true;
  if (text !== '' || reasoning !== '' || calls.length > 0) {
    choice.textEvents++;
    if (!isIdArray(event.token_ids)) choice.tokenIds = null;
  }
  if (isIdArray(event.token_ids)) choice.tokenIds?.push(...event.token_ids);
  if (isIdArray(event.prompt_token_ids)) delivered.promptTokenIds ??= event.prompt_token_ids;
  choice.finishReason = finishReasonOf(event) ?? choice.finishReason;
}

/** Whether a delta holds parts of the answer beside those that a replay is compared by. Marks such as ids and flags are none. */
export function carriesMore(delta: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(delta).some(([field, value]) => {
    if (field === 'tool_calls') return false;
    if (field === 'refusal') return typeof value === 'string' && value !== '';
    return Array.isArray(value) ? value.length > 0 : isRecord(value);
  });
}

function addToolCall(choice: DeliveredChoice, call: unknown): void {
  if (!isRecord(call)) return;
  const index = typeof call.index === 'number' ? call.index : 0;
  const existing = choice.toolCalls.get(index) ?? { name: '', arguments: '' };
  const fn = isRecord(call.function) ? call.function : {};
  if (typeof fn.name === 'string') existing.name += fn.name;
  if (typeof fn.arguments === 'string') existing.arguments += fn.arguments;
  choice.toolCalls.set(index, existing);
}

/** The text of a choice in either dialect. */
export function textOf(choice: Readonly<Record<string, unknown>>): string {
  if (typeof choice.text === 'string') return choice.text;
  return isRecord(choice.delta) && typeof choice.delta.content === 'string' ? choice.delta.content : '';
}

/** Null while the choice goes on; text-generation-inference says the empty string then. */
export function finishReasonOf(choice: Record<string, unknown>): string | null {
  const { finish_reason: reason } = choice;
  return typeof reason === 'string' && reason !== '' ? reason : null;
}

/** vLLM and others say `reasoning_content`, newer ones `reasoning`. */
export function reasoningOf(delta: Record<string, unknown>): string {
  if (typeof delta.reasoning_content === 'string') return delta.reasoning_content;
  return typeof delta.reasoning === 'string' ? delta.reasoning : '';
}

export function isIdArray(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => typeof id === 'number');
}

/**
 * Whether an event carries the first thing that a client keeps: text, reasoning, a tool call, the end of a choice, or an
 * error. Role-only events and progress events do not; before them another engine may still be tried freely.
 */
export function carriesContent(chunk: Readonly<Record<string, unknown>>): boolean {
  if (chunk.error !== undefined && chunk.error !== null) return true;
  if (!Array.isArray(chunk.choices)) return false;
  return chunk.choices.some((choice) => {
    if (!isRecord(choice)) return false;
    const delta = isRecord(choice.delta) ? choice.delta : {};
    return (
      (typeof choice.text === 'string' && choice.text !== '') ||
      (typeof delta.content === 'string' && delta.content !== '') ||
      reasoningOf(delta) !== '' ||
      (Array.isArray(delta.tool_calls) && delta.tool_calls.length > 0) ||
      delta.function_call !== undefined ||
      typeof delta.refusal === 'string' ||
      finishReasonOf(choice) !== null
    );
  });
}
