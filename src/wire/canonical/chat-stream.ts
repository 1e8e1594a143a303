/**
 * The one canonical event stream between dialects: what an OpenAI chat stream says, chunk by chunk, without its envelope.
 * Reads whole events only, as relays deliver them. Only the first choice counts: no translated dialect has several.
 */
import { isRecord } from '../json/parse-object.ts';
import { reasoningOf } from '../openai/delivered-stream.ts';
import { parseSseItems } from '../sse/parse-event.ts';
import { type CanonicalError, readError } from './chat-error.ts';
import { logprobsOf, type TokenLogprob } from './chat-logprobs.ts';
import { type CanonicalUsage, readUsage } from './chat-usage.ts';

export type CanonicalEvent =
  /** Identity of the answer; before anything else of its chunk. */
  | { type: 'chunk'; id: string | null }
  /** Before the content of the same chunk. */
  | { type: 'usage'; usage: CanonicalUsage }
  /** `logprobs` of the tokens of this text, where the client asked for them and the engine gives them. */
  | { type: 'text'; text: string; logprobs: readonly TokenLogprob[] }
  | { type: 'reasoning'; text: string }
  | { type: 'refusal'; text: string }
  /** A piece of a tool call. `id` and `name` come with the first piece of each index, as a rule. */
  | { type: 'tool'; index: number; id: string | null; name: string | null; arguments: string }
  /** `stopSequence` where the engine says which stop string it met. */
  | { type: 'finish'; reason: string; stopSequence: string | null }
  | { type: 'error'; error: CanonicalError }
  | { type: 'comment'; text: string }
  | { type: 'done' };

/** What the client keeps of an answer. */
export type ContentEvent = Extract<CanonicalEvent, { type: 'text' | 'reasoning' | 'refusal' | 'tool' }>;

export function readStream(frames: Buffer): CanonicalEvent[] {
  const events: CanonicalEvent[] = [];
  for (const item of parseSseItems(frames.toString('utf8'))) {
    if ('comment' in item) events.push({ type: 'comment', text: item.comment });
    else if (item.data === '[DONE]') events.push({ type: 'done' });
    else readChunk(item.data, events);
  }
  return events;
}

function readChunk(data: string, events: CanonicalEvent[]): void {
  const chunk = parse(data);
  if (!isRecord(chunk)) {
    const message = `the engine sent an event that is not a JSON object: ${data.slice(0, 100)}`;
    events.push({ type: 'error', error: { message, code: 'engine_failed', type: null, status: null } });
    return;
  }
  const error = readError(chunk);
  if (error !== null) {
    events.push({ type: 'error', error });
    return;
  }
  events.push({ type: 'chunk', id: typeof chunk.id === 'string' && chunk.id !== '' ? chunk.id : null });
  const usage = readUsage(chunk.usage);
  if (usage !== null) events.push({ type: 'usage', usage });
  if (!Array.isArray(chunk.choices)) return;
  for (const choice of chunk.choices) {
    if (isRecord(choice) && (choice.index === undefined || choice.index === 0)) readChoice(choice, events);
  }
}

function readChoice(choice: Record<string, unknown>, events: CanonicalEvent[]): void {
  const delta = isRecord(choice.delta) ? choice.delta : {};
  const reasoning = reasoningOf(delta);
  if (reasoning !== '') events.push({ type: 'reasoning', text: reasoning });
  if (typeof delta.content === 'string' && delta.content !== '')
    events.push({ type: 'text', text: delta.content, logprobs: logprobsOf(choice) });
  if (typeof delta.refusal === 'string' && delta.refusal !== '')
    events.push({ type: 'refusal', text: delta.refusal });
  if (Array.isArray(delta.tool_calls)) {
    for (const [at, call] of delta.tool_calls.entries()) if (isRecord(call)) events.push(toolPiece(call, at));
  }
  // The one call of the API before tools.
  if (isRecord(delta.function_call)) events.push(toolPiece({ function: delta.function_call }, 0));
  if (typeof choice.finish_reason === 'string') {
    events.push({ type: 'finish', reason: choice.finish_reason, stopSequence: stopSequenceOf(choice) });
  }
}

/** @param at where it stands among the pieces of its chunk: its index, where the engine gives none. */
function toolPiece(call: Record<string, unknown>, at: number): CanonicalEvent {
  const fn = isRecord(call.function) ? call.function : {};
  return {
    type: 'tool',
    index: typeof call.index === 'number' ? call.index : at,
    id: typeof call.id === 'string' && call.id !== '' ? call.id : null,
    name: typeof fn.name === 'string' && fn.name !== '' ? fn.name : null,
    arguments: typeof fn.arguments === 'string' ? fn.arguments : '',
  };
}

/** vLLM says `stop_reason`, SGLang `matched_stop`; both hold a token id when no string was met. */
export function stopSequenceOf(choice: Record<string, unknown>): string | null {
  for (const value of [choice.stop_reason, choice.matched_stop]) if (typeof value === 'string') return value;
  return null;
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
