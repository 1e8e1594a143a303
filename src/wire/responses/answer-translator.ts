/**
 * A chat answer as a response of the Responses API: whole, or as the vendor's sequence of events. The last event is held
 * until the caller has kept the response, so that whoever has read it finds the response in the store.
 *
 * In a stream: `response.created`, `response.in_progress`, the items, then exactly one of `response.completed`,
 * `response.incomplete` and `response.failed`; `sequence_number` counts from 0 without gaps; nothing follows.
 */
import { isRecord } from '../json/parse-object.ts';
import { numberFrom } from '../json/scalars.ts';
import { parseChunk } from '../openai/delivered-stream.ts';
import { parseSseEvents } from '../sse/parse-event.ts';
import { OutputBuilder } from './output-builder.ts';
import {
  endOf,
  type ResponseBase,
  type ResponseObject,
  responseObject,
  responseUsage,
} from './response-object.ts';

export interface ResponseEventOut {
  sequence: number;
  /** JSON of the event. */
  data: string;
  type: string;
}

export class ResponsesTranslator {
  readonly #base: ResponseBase;
  readonly #nowS: () => number;
  readonly #builder: OutputBuilder;
  #pending: ResponseEventOut[] = [];
  #sequence = 0;
  #finishReason: unknown = null;
  #usage: Record<string, unknown> | null = null;
  #error: { code: string; message: string } | null = null;
  #done = false;

  /** @param nowS Unix time in seconds, asked when the response ends. */
  constructor(base: ResponseBase, nowS: () => number) {
    this.#base = base;
    this.#nowS = nowS;
    this.#builder = new OutputBuilder(base.id, (type, fields) => this.#emit(type, fields));
  }

  /** The response of a whole chat answer. Null when it is not one. */
  answer(body: Buffer): ResponseObject | null {
    const answer = parseChunk(body.toString('utf8'));
    const choice = firstChoice(answer);
    if (answer === null || choice === null || !isRecord(choice.message)) return null;
    this.#builder.add(choice.message, choice.logprobs);
    this.#finishReason = choice.finish_reason;
    this.#usage = responseUsage(answer.usage);
    this.#done = true;
    return this.#final();
  }

  /** The first events of a stream. A background response waits first. */
  begin(): ResponseEventOut[] {
    const background = this.#base.echo.background === true;
    const status = background ? 'queued' : 'in_progress';
    this.#emit('response.created', { response: this.present(status) });
    this.#emit(`response.${status}`, { response: this.present(status) });
    return this.#take();
  }

  /** A background response is worked on from here. */
  started(): ResponseEventOut[] {
    this.#emit('response.in_progress', { response: this.present('in_progress') });
    return this.#take();
  }

  /** Whole events of a chat stream. What comes after its end or an error is not looked at. */
  events(frames: Buffer): ResponseEventOut[] {
    for (const { data } of parseSseEvents(frames.toString('utf8'))) {
      if (this.#done || this.#error !== null) break;
      if (data === '[DONE]') this.#done = true;
      else this.#addChunk(parseChunk(data));
    }
    return this.#take();
  }

  /** The events that end the items, and the response as it ended. Call once, last; `last` makes the event that says it. */
  end(): { events: ResponseEventOut[]; response: ResponseObject } {
    const response = this.#final();
    return { events: this.#take(), response };
  }

  /** The stream is over for a reason of our own. */
  fail(code: string, message: string): void {
    this.#error ??= { code, message };
  }

  /** The terminal event, with the response as it was kept. */
  last(response: ResponseObject): ResponseEventOut {
    this.#emit(`response.${response.status === 'cancelled' ? 'failed' : response.status}`, { response });
    return this.#take()[0] as ResponseEventOut;
  }

  #addChunk(chunk: Record<string, unknown> | null): void {
    if (chunk === null) return;
    if (chunk.error !== undefined && chunk.error !== null) {
      this.#error = errorOf(chunk.error);
      return;
    }
    if (isRecord(chunk.usage)) this.#usage = responseUsage(chunk.usage) ?? this.#usage;
    const choice = firstChoice(chunk);
    if (choice === null) return;
    if (isRecord(choice.delta)) this.#builder.add(choice.delta, choice.logprobs);
    if (typeof choice.finish_reason === 'string') this.#finishReason = choice.finish_reason;
  }

  #final(): ResponseObject {
    if (this.#error === null && this.#finishReason === null && !this.#done)
      this.#error = { code: 'server_error', message: 'the answer of the engine ended in the middle' };
    if (this.#error !== null) {
      this.#builder.abandon();
      return responseObject(this.#base, {
        status: 'failed',
        output: this.#builder.output,
        usage: this.#usage,
        error: this.#error,
      });
    }
    const end = endOf(this.#finishReason);
    this.#builder.finish(end.status);
    return responseObject(this.#base, {
      ...end,
      output: this.#builder.output,
      usage: this.#usage,
      ...(end.status === 'completed' && { completedAtS: this.#nowS() }),
    });
  }

  /** The response while it is worked on. */
  present(status: 'queued' | 'in_progress'): ResponseObject {
    return responseObject(this.#base, { status, output: [], usage: null });
  }

  #emit(type: string, fields: Record<string, unknown>): void {
    const sequence = this.#sequence++;
    this.#pending.push({
      type,
      sequence,
      data: JSON.stringify({ type, sequence_number: sequence, ...fields }),
    });
  }

  #take(): ResponseEventOut[] {
    const taken = this.#pending;
    this.#pending = [];
    return taken;
  }
}

/** Ready to be written. */
export function eventText({ type, data }: { type: string; data: string }): string {
  return `event: ${type}\ndata: ${data}\n\n`;
}

/** Comments in whole events: they tell of continuations, and go on to the client. */
export function commentsIn(frames: Buffer): string {
  if (!frames.includes(':') || (frames[0] !== 0x3a && !frames.includes('\n:'))) return '';
  const lines = frames
    .toString('utf8')
    .split('\n')
    .filter((line) => line.startsWith(':'));
  return lines.map((line) => `${line}\n\n`).join('');
}

function firstChoice(chunk: Record<string, unknown> | null): Record<string, unknown> | null {
  if (chunk === null || !Array.isArray(chunk.choices)) return null;
  return chunk.choices.filter(isRecord).find(({ index = 0 }) => index === 0) ?? null;
}

/** The error object of a chat stream in this API's smaller vocabulary. */
export function errorOf(error: unknown): { code: string; message: string } {
  const { code, type, message } = isRecord(error) ? error : {};
  const text = typeof message === 'string' ? message : 'the engine reported an error';
  if (code === 'saturated' || type === 'rate_limit_error')
    return { code: 'rate_limit_exceeded', message: text };
  const status = numberFrom(code);
  if (type === 'invalid_request_error' || (status >= 400 && status < 500 && status !== 429))
    return { code: 'invalid_prompt', message: text };
  return { code: 'server_error', message: text };
}
