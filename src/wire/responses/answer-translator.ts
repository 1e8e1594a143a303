/**
 * A chat answer as a response of the Responses API: whole, or as the vendor's sequence of events. The last event is held
 * until the caller has kept the response, so that whoever has read it finds the response in the store.
 *
 * In a stream: `response.created`, `response.in_progress`, the items, then exactly one of `response.completed`,
 * `response.incomplete` and `response.failed`; `sequence_number` counts from 0 without gaps; nothing follows.
 */
import { contentEvents, readChatAnswer } from '../canonical/chat-answer.ts';
import type { CanonicalError } from '../canonical/chat-error.ts';
import { type CanonicalEvent, readStream } from '../canonical/chat-stream.ts';
import { parseChunk } from '../openai/delivered-stream.ts';
import { parseSseItems } from '../sse/parse-event.ts';
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
  #finishReason: string | null = null;
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
    const answer = readChatAnswer(parseChunk(body.toString('utf8')));
    if (answer === null) return null;
    for (const event of contentEvents(answer)) this.#builder.add(event);
    this.#finishReason = answer.finishReason;
    this.#usage = answer.usage === null ? null : responseUsage(answer.usage);
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
    for (const event of readStream(frames)) {
      if (this.#done || this.#error !== null) break;
      this.#read(event);
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

  #read(event: CanonicalEvent): void {
    switch (event.type) {
      case 'text':
      case 'reasoning':
      case 'refusal':
      case 'tool':
        return this.#builder.add(event);
      case 'usage':
        this.#usage = responseUsage(event.usage);
        return;
      case 'finish':
        this.#finishReason = event.reason;
        return;
      case 'error':
        this.#error = errorOf(event.error);
        return;
      case 'done':
        this.#done = true;
        return;
      // The identity is ours, and comments are passed on beside the events (commentsIn).
      case 'chunk':
      case 'comment':
        return;
    }
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
  return parseSseItems(frames.toString('utf8'))
    .map((item) => ('comment' in item ? `: ${item.comment}\n\n` : ''))
    .join('');
}

/** The error of a chat stream in this API's smaller vocabulary. */
export function errorOf({ code, type, status, message }: CanonicalError): { code: string; message: string } {
  if (code === 'saturated' || type === 'rate_limit_error') return { code: 'rate_limit_exceeded', message };
  const refused = status !== null && status < 500 && status !== 429;
  if (type === 'invalid_request_error' || refused) return { code: 'invalid_prompt', message };
  return { code: 'server_error', message };
}
