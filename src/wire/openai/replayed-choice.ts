/**
 * Tier C for one choice of an answer: the replica repeats all of it, and what the client has is compared and left out.
 *
 * Invariant: nothing new leaves before all that was delivered has been repeated, so that no text, no thought and no argument
 * is sent twice, and none is left out. Used by `ContinuedStream`, one instance per choice and continuation.
 */
import { isRecord } from '../json/parse-object.ts';
import {
  carriesMore,
  type DeliveredChoice,
  type DeliveredToolCall,
  finishReasonOf,
  isIdArray,
  reasoningOf,
  textOf,
} from './delivered-stream.ts';

export type Replayed =
  /** What is new in an event: `choice` without its text and delta, and these two. */
  | { kind: 'new'; choice: Record<string, unknown>; text: string; delta: Record<string, unknown> }
  /** The client has it all. */
  | { kind: 'nothing' }
  | { kind: 'differs'; detail: string };

export class ReplayedChoice {
  readonly #had: DeliveredChoice;
  /** How far the replay has come, in characters and ids. */
  #text = 0;
  #reasoning = 0;
  #tokenIds = 0;
  readonly #calls = new Map<number, { name: number; arguments: number }>();

  constructor(had: DeliveredChoice) {
    this.#had = had;
  }

  push(raw: Readonly<Record<string, unknown>>): Replayed {
    const { role: _role, content: _content, ...delta } = isRecord(raw.delta) ? raw.delta : {};
    const text = this.#newText(textOf(raw));
    const reasoning = this.#newReasoning(delta);
    if (text === null || reasoning === null) {
      return differs(`the replayed text differs after ${this.#text + this.#reasoning} characters`);
    }
    const calls = this.#newCalls(delta.tool_calls);
    if (calls === null) return differs('the replayed tool call differs');
    const ended = finishReasonOf(raw) !== null;
    const isNew = text !== '' || reasoning !== '' || calls.length > 0;
    const missing = this.#missing();
    if (missing !== null && (isNew || ended)) return differs(missing);
    replace(delta, calls, reasoning);
    const tokenIds = this.#newTokenIds(raw);
    const tells = isNew || carriesMore(delta) || (ended && this.#had.finishReason === null);
    return tells ? { kind: 'new', choice: { ...raw, ...tokenIds }, text, delta } : { kind: 'nothing' };
  }

  #newText(text: string): string | null {
    const fresh = suppress(text, this.#had.text, this.#text);
    if (fresh !== null) this.#text += text.length;
    return fresh;
  }

  #newReasoning(delta: Record<string, unknown>): string | null {
    const text = reasoningOf(delta);
    const fresh = suppress(text, this.#had.reasoning, this.#reasoning);
    if (fresh !== null) this.#reasoning += text.length;
    return fresh;
  }

  /** Calls with what is new in them; ids differ from run to run, so only names and arguments are compared. */
  #newCalls(calls: unknown): Record<string, unknown>[] | null {
    const fresh: Record<string, unknown>[] = [];
    for (const call of Array.isArray(calls) ? calls : []) {
      if (!isRecord(call)) continue;
      const index = typeof call.index === 'number' ? call.index : 0;
      const known = this.#had.toolCalls.get(index);
      if (known === undefined) {
        fresh.push(call);
        continue;
      }
      const rest = this.#restOfCall(index, known, isRecord(call.function) ? call.function : {});
      if (rest === null) return null;
      if (rest.name !== '' || rest.arguments !== '') {
        const { name, arguments: text } = rest;
        fresh.push({ index, function: { ...(name !== '' && { name }), arguments: text } });
      }
    }
    return fresh;
  }

  #restOfCall(
    index: number,
    known: DeliveredToolCall,
    { name, arguments: text }: Record<string, unknown>,
  ): { name: string; arguments: string } | null {
    const progress = this.#calls.get(index) ?? { name: 0, arguments: 0 };
    this.#calls.set(index, progress);
    const named = typeof name === 'string' ? name : '';
    const written = typeof text === 'string' ? text : '';
    const restOfName = suppress(named, known.name, progress.name);
    const restOfText = suppress(written, known.arguments, progress.arguments);
    progress.name += named.length;
    progress.arguments += written.length;
    return restOfName === null || restOfText === null ? null : { name: restOfName, arguments: restOfText };
  }

  /** What was delivered and has not been repeated yet, in words; null when it all was. */
  #missing(): string | null {
    const { text, reasoning, toolCalls } = this.#had;
    const done = this.#text + this.#reasoning;
    const had = text.length + reasoning.length;
    if (this.#text < text.length || this.#reasoning < reasoning.length)
      return `the replay ended after ${done} characters; ${had} were delivered`;
    for (const [index, call] of toolCalls) {
      const progress = this.#calls.get(index) ?? { name: 0, arguments: 0 };
      if (progress.arguments < call.arguments.length || progress.name < call.name.length)
        return `the replay left call ${index} after ${progress.arguments} of ${call.arguments.length} characters of its arguments`;
    }
    return null;
  }

  #newTokenIds(raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
    if (!isIdArray(raw.token_ids)) return {};
    const skip = Math.max(0, (this.#had.tokenIds?.length ?? 0) - this.#tokenIds);
    this.#tokenIds += raw.token_ids.length;
    return { token_ids: raw.token_ids.slice(skip) };
  }
}

function differs(detail: string): Replayed {
  return { kind: 'differs', detail };
}

/** Puts what is new in the place of what came. */
function replace(delta: Record<string, unknown>, calls: Record<string, unknown>[], reasoning: string): void {
  if (Array.isArray(delta.tool_calls)) {
    if (calls.length > 0) delta.tool_calls = calls;
    else delete delta.tool_calls;
  }
  for (const field of ['reasoning_content', 'reasoning']) {
    if (typeof delta[field] !== 'string') continue;
    if (reasoning === '') delete delta[field];
    else delta[field] = reasoning;
  }
}

/** The part of `incoming` beyond what was delivered; null when it contradicts it. `at`: characters replayed so far. */
function suppress(incoming: string, delivered: string, at: number): string | null {
  if (at >= delivered.length) return incoming;
  const overlap = Math.min(incoming.length, delivered.length - at);
  if (incoming.slice(0, overlap) !== delivered.slice(at, at + overlap)) return null;
  return incoming.slice(overlap);
}
