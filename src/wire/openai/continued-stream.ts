/**
 * Turns the events of a continuation into events of the stream that the client already reads: same identity, nothing said
 * twice, usage counted once. Tiers A and B deliver new text only; tier C repeats the whole answer, and what the client has
 * is compared and left out. One instance per continuation.
 */
import type { ContinuationTier } from '../../contract/continuation.ts';
import { isRecord } from '../json/parse-object.ts';
import { numberFrom } from '../json/scalars.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import {
  allFinished,
  choiceOf,
  type Delivered,
  finishReasonOf,
  parseChunk,
  textOf,
} from './delivered-stream.ts';
import { ReplayedChoice } from './replayed-choice.ts';
import { SeamStopGuard } from './seam-stop-guard.ts';

export interface ContinuedStreamOptions {
  tier: Exclude<ContinuationTier, 'D'>;
  endpoint: 'chat' | 'completions';
  delivered: Delivered;
  deliveredTokens: number;
  /** How many choices the answer has in the end. */
  choices: number;
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

export class ContinuedStream {
  readonly #options: ContinuedStreamOptions;
  readonly #guard: SeamStopGuard;
  readonly #replays = new Map<number, ReplayedChoice>();
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
    return allFinished(this.#options.delivered, this.#options.choices, this.#ended);
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
    const prompt = numberFrom(usage.prompt_tokens ?? 0) - deliveredTokens;
    const completion = numberFrom(usage.completion_tokens ?? 0) + deliveredTokens;
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
    const end = { index: 0, finish_reason: 'stop', stop_reason: this.#guard.met, logprobs: null };
    const choice = this.#options.endpoint === 'chat' ? { ...end, delta: {} } : { ...end, text: '' };
    return [JSON.stringify(this.#chunk({}, [choice], undefined))];
  }

  /** Tier C: null while the client has it already, a string when the replica says something else. */
  #replayed(raw: Record<string, unknown>): Record<string, unknown> | null | string {
    const index = indexOf(raw);
    let replay = this.#replays.get(index);
    if (replay === undefined) {
      replay = new ReplayedChoice(choiceOf(this.#options.delivered, index));
      this.#replays.set(index, replay);
    }
    const found = replay.push(raw);
    if (found.kind === 'differs') return found.detail;
    if (finishReasonOf(raw) !== null) this.#ended.add(index);
    return found.kind === 'nothing' ? null : this.#choice(found.choice, found.text, found.delta);
  }
}

function indexOf(choice: Record<string, unknown>): number {
  return typeof choice.index === 'number' ? choice.index : 0;
}
