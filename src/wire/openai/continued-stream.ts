/**
 * Turns the events of a continuation into events of the stream that the client already reads: same identity, nothing said
 * twice, usage counted once. Tiers A and B deliver new text only; tier C repeats the whole answer, and what the client has
 * is compared and left out. One instance per continuation.
 */
import type { ContinuationTier } from '../../contract/continuation.ts';
import { isRecord } from '../json/parse-object.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import {
  choiceOf,
  type Delivered,
  type DeliveredChoice,
  finishReasonOf,
  isIdArray,
  parseChunk,
  reasoningOf,
} from './delivered-stream.ts';
import { SeamStopGuard } from './seam-stop-guard.ts';

export interface ContinuedStreamOptions {
  tier: Exclude<ContinuationTier, 'D'>;
  endpoint: 'chat' | 'completions';
  delivered: Delivered;
  deliveredTokens: number;
  /** Whether the client asked for a usage event. */
  includeUsage: boolean;
  stopStrings: readonly string[];
  mayEchoPrefill: boolean;
}

export type ContinuedOutput =
  /** Data of events for the client, in order. */
  | { kind: 'events'; data: string[]; finished: boolean }
  /** Tier C: the replica answers otherwise than the first one did. */
  | { kind: 'diverged'; detail: string }
  /** The replica reported an error inside its stream. */
  | { kind: 'engine-error'; detail: string }
  /** A stop string was completed across the seam: the stream is whole, and the attempt can be ended. */
  | { kind: 'stopped'; data: string[] };

/** How far tier C has come through what was delivered, for one choice. */
interface ReplayProgress {
  text: number;
  reasoning: number;
  tokenIds: number;
  arguments: Map<number, number>;
}

export class ContinuedStream {
  readonly #options: ContinuedStreamOptions;
  readonly #guard: SeamStopGuard;
  readonly #replay = new Map<number, ReplayProgress>();
  #echoPossible: boolean;
  /** Events kept back while a stop string may lie across the seam. */
  #held: string[] = [];
  /** Choices that the continuation has ended. */
  readonly #ended = new Set<number>();

  constructor(options: ContinuedStreamOptions) {
    this.#options = options;
    const text = choiceOf(options.delivered, 0).text;
    this.#guard = new SeamStopGuard(options.tier === 'C' ? '' : text, options.stopStrings);
    this.#echoPossible = options.mayEchoPrefill && options.tier === 'B' && text.length >= 8;
  }

  /** All choices have ended, so that the stream is complete even without [DONE]. */
  get finished(): boolean {
    const { choices } = this.#options.delivered;
    return [...choices].every(([index, choice]) => this.#ended.has(index) || choice.finishReason !== null);
  }

  push(frames: Buffer): ContinuedOutput {
    const data: string[] = [];
    for (const event of parseSseEvents(frames.toString('utf8'))) {
      if (event.data === '[DONE]') {
        data.push('[DONE]');
        return { kind: 'events', data, finished: true };
      }
      const chunk = parseChunk(event.data);
      if (chunk === null)
        return { kind: 'engine-error', detail: `not a JSON object: ${event.data.slice(0, 200)}` };
      if (chunk.error !== undefined && chunk.error !== null)
        return { kind: 'engine-error', detail: event.data.slice(0, 300) };
      const stop = this.#pushChunk(chunk, data);
      if (stop !== null) return stop;
    }
    return { kind: 'events', data, finished: false };
  }

  #pushChunk(chunk: Record<string, unknown>, out: string[]): ContinuedOutput | null {
    const choices: Record<string, unknown>[] = [];
    let hold = false;
    for (const raw of Array.isArray(chunk.choices) ? chunk.choices : []) {
      if (!isRecord(raw)) continue;
      const choice = this.#options.tier === 'C' ? this.#replayed(raw) : this.#appended(raw);
      if (typeof choice === 'string') return { kind: 'diverged', detail: choice };
      if (choice === null) continue;
      choices.push(choice);
      if (this.#options.tier === 'C') continue;
      const verdict = this.#guard.push(textOf(choice));
      if (verdict === 'stop') {
        out.push(...this.#endedByStop());
        return { kind: 'stopped', data: out };
      }
      hold = verdict === 'hold' && finishReasonOf(choice) === null;
    }
    const usage = isRecord(chunk.usage) && this.#options.includeUsage ? this.#usage(chunk.usage) : undefined;
    if (choices.length === 0 && usage === undefined) return null;
    this.#held.push(JSON.stringify(this.#chunk(chunk, choices, usage)));
    if (!hold) out.push(...this.#held.splice(0));
    return null;
  }

  /** Same identity as the events before the seam. */
  #chunk(chunk: Record<string, unknown>, choices: unknown[], usage: unknown): Record<string, unknown> {
    const { delivered, endpoint } = this.#options;
    const { prompt_token_ids: _ids, usage: _usage, ...rest } = chunk;
    return {
      ...rest,
      id: delivered.id ?? chunk.id,
      object: endpoint === 'chat' ? 'chat.completion.chunk' : 'text_completion',
      created: delivered.created ?? chunk.created,
      model: delivered.model ?? chunk.model,
      choices,
      ...(usage !== undefined && { usage }),
    };
  }

  #usage(usage: Record<string, unknown>): Record<string, unknown> {
    if (this.#options.tier === 'C') return usage;
    const { deliveredTokens } = this.#options;
    const prompt = Number(usage.prompt_tokens ?? 0) - deliveredTokens;
    const completion = Number(usage.completion_tokens ?? 0) + deliveredTokens;
    return {
      ...usage,
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
    };
  }

  /** Tiers A and B: the text is new, but for a possible echo of the prefill. Null when there is nothing in it. */
  #appended(raw: Record<string, unknown>): Record<string, unknown> | null {
    const delta = isRecord(raw.delta) ? raw.delta : {};
    const text = this.#withoutEcho(textOf(raw));
    const ends = finishReasonOf(raw) !== null;
    if (ends) this.#ended.add(indexOf(raw));
    const { role: _role, content: _content, ...otherDelta } = delta;
    if (text === '' && !ends && Object.keys(otherDelta).length === 0) return null;
    return this.#choice(raw, text, otherDelta);
  }

  #choice(
    raw: Record<string, unknown>,
    text: string,
    delta: Record<string, unknown>,
  ): Record<string, unknown> {
    const { text: _text, delta: _delta, prompt_token_ids: _ids, ...rest } = raw;
    if (this.#options.endpoint === 'completions') return { ...rest, text };
    return { ...rest, delta: text === '' ? delta : { ...delta, content: text } };
  }

  #withoutEcho(text: string): string {
    if (!this.#echoPossible || text === '') return text;
    this.#echoPossible = false;
    const delivered = choiceOf(this.#options.delivered, 0).text;
    return text.startsWith(delivered) ? text.slice(delivered.length) : text;
  }

  #endedByStop(): string[] {
    this.#held = [];
    const end = { index: 0, finish_reason: 'stop', logprobs: null };
    const choice = this.#options.endpoint === 'chat' ? { ...end, delta: {} } : { ...end, text: '' };
    return [JSON.stringify(this.#chunk({}, [choice], undefined))];
  }

  /** Tier C: null while the client has it already, a string when the replica says something else. */
  #replayed(raw: Record<string, unknown>): Record<string, unknown> | null | string {
    const index = indexOf(raw);
    const had = choiceOf(this.#options.delivered, index);
    const progress = this.#progress(index);
    const delta = isRecord(raw.delta) ? { ...raw.delta } : {};
    delete delta.role;

    const text = textOf(raw);
    const newText = suppress(text, had.text, progress.text);
    const reasoning = reasoningOf(delta);
    const newReasoning = suppress(reasoning, had.reasoning, progress.reasoning);
    if (newText === null || newReasoning === null) {
      return `the replayed text differs after ${progress.text + progress.reasoning} characters`;
    }
    progress.text += text.length;
    progress.reasoning += reasoning.length;
    for (const field of ['reasoning_content', 'reasoning']) {
      if (typeof delta[field] === 'string') {
        if (newReasoning === '') delete delta[field];
        else delta[field] = newReasoning;
      }
    }
    delete delta.content;
    if (Array.isArray(delta.tool_calls)) {
      const calls = this.#replayedCalls(delta.tool_calls, had, progress);
      if (calls === null) return 'the replayed tool call differs';
      if (calls.length > 0) delta.tool_calls = calls;
      else delete delta.tool_calls;
    }
    const finishReason = finishReasonOf(raw);
    if (finishReason !== null && progress.text < had.text.length) {
      return `the replay ended after ${progress.text} characters; ${had.text.length} were delivered`;
    }
    if (finishReason !== null) this.#ended.add(index);
    const nothingNew = newText === '' && Object.keys(delta).length === 0;
    const ids = this.#replayedIds(raw, had, progress);
    if (nothingNew && (finishReason === null || had.finishReason !== null)) return null;
    return this.#choice({ ...raw, ...ids }, newText, delta);
  }

  #replayedIds(
    raw: Record<string, unknown>,
    had: DeliveredChoice,
    progress: ReplayProgress,
  ): Record<string, unknown> {
    if (!isIdArray(raw.token_ids)) return {};
    const known = had.tokenIds?.length ?? 0;
    const skip = Math.max(0, known - progress.tokenIds);
    progress.tokenIds += raw.token_ids.length;
    return { token_ids: raw.token_ids.slice(skip) };
  }

  /** Calls with what is new in them; ids differ from run to run, so only names and arguments are compared. */
  #replayedCalls(
    calls: unknown[],
    had: DeliveredChoice,
    progress: ReplayProgress,
  ): Record<string, unknown>[] | null {
    const fresh: Record<string, unknown>[] = [];
    for (const call of calls) {
      if (!isRecord(call)) continue;
      const index = typeof call.index === 'number' ? call.index : 0;
      const known = had.toolCalls.get(index);
      if (known === undefined) {
        fresh.push(call);
        continue;
      }
      const fn = isRecord(call.function) ? call.function : {};
      if (typeof fn.name === 'string' && fn.name !== '' && fn.name !== known.name) return null;
      const text = typeof fn.arguments === 'string' ? fn.arguments : '';
      const at = progress.arguments.get(index) ?? 0;
      const rest = suppress(text, known.arguments, at);
      if (rest === null) return null;
      progress.arguments.set(index, at + text.length);
      if (rest !== '') fresh.push({ index, function: { arguments: rest } });
    }
    return fresh;
  }

  #progress(index: number): ReplayProgress {
    let progress = this.#replay.get(index);
    if (progress === undefined) {
      progress = { text: 0, reasoning: 0, tokenIds: 0, arguments: new Map() };
      this.#replay.set(index, progress);
    }
    return progress;
  }
}

/** The part of `incoming` beyond what was delivered; null when it contradicts it. `at`: characters replayed so far. */
function suppress(incoming: string, delivered: string, at: number): string | null {
  if (at >= delivered.length) return incoming;
  const overlap = Math.min(incoming.length, delivered.length - at);
  if (incoming.slice(0, overlap) !== delivered.slice(at, at + overlap)) return null;
  return incoming.slice(overlap);
}

function indexOf(choice: Record<string, unknown>): number {
  return typeof choice.index === 'number' ? choice.index : 0;
}

/** The text of a choice in either dialect. */
function textOf(choice: Record<string, unknown>): string {
  if (typeof choice.text === 'string') return choice.text;
  return isRecord(choice.delta) && typeof choice.delta.content === 'string' ? choice.delta.content : '';
}
