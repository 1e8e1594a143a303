/**
 * A streamed answer in the vendor's event sequence: message_start, ping, content blocks one after the other, message_delta,
 * message_stop; or, from any point, one error event and nothing after it. Says nothing before the engine has said something
 * that a client keeps. Comments of the gateway about itself stay comments; all others are signs of life and become pings.
 */
import { PlatformError } from '../../contract/errors.ts';
import type { CanonicalError } from '../canonical/chat-error.ts';
import type { CanonicalEvent } from '../canonical/chat-stream.ts';
import type { CanonicalUsage } from '../canonical/chat-usage.ts';
import { openAiErrorFrom } from '../openai/error-object.ts';
import { type AnswerContext, brokenOff } from './answer.ts';
import { BlockSequence } from './block-sequence.ts';
import { errorObject } from './error-object.ts';
import { deltaUsage, messageId, messageObject, NO_STOP, stopOf, toolUseId } from './message-shapes.ts';

const OWN_COMMENT = /^x-autoglm-/;

export class MessageStream {
  readonly #context: AnswerContext;
  readonly #blocks: BlockSequence;
  #id: string | null = null;
  #started = false;
  #over = false;
  #usage: CanonicalUsage | null = null;
  /** Pieces of content: the number of tokens where the engine does not count them. */
  #pieces = 0;
  #finish: { reason: string; stopSequence: string | null } | null = null;
  #refused = false;
  #out = '';
  /** Set when the engine's answer could not be said in this dialect. */
  failure: PlatformError | null = null;

  constructor(context: AnswerContext) {
    this.#context = context;
    this.#blocks = new BlockSequence((engineId, index) => toolUseId(engineId, this.#messageId, index));
  }

  get #messageId(): string {
    return messageId(this.#id, this.#context.requestId);
  }

  push(events: readonly CanonicalEvent[]): string {
    for (const event of events) {
      if (this.#over) break;
      try {
        this.#take(event);
      } catch (thrown) {
        this.#failBy(PlatformError.from(thrown));
      }
    }
    return this.#said();
  }

  /** The stream is over: completes the message, or says that it is incomplete. */
  end(): string {
    if (this.#over || this.#finish !== null) return this.push([{ type: 'done' }]);
    this.#failBy(new PlatformError('stream_interrupted', 'the stream ended before the answer did'));
    return this.#said();
  }

  #take(event: CanonicalEvent): void {
    switch (event.type) {
      case 'chunk':
        this.#id ??= event.id;
        return;
      case 'usage':
        this.#usage = event.usage;
        return;
      case 'reasoning':
        return this.#takeReasoning(event.text);
      case 'refusal':
        this.#refused = true;
        return this.#takeProse('text', event.text);
      case 'text':
        return this.#takeProse('text', event.text);
      case 'tool':
        this.#content();
        this.#blocks.tool(event);
        return this.#sayBlocks();
      case 'finish':
        this.#start();
        this.#finish = event;
        return;
      case 'error':
        return this.#fail(event.error);
      case 'comment':
        return this.#takeComment(event.text);
      case 'done':
        return this.#complete();
    }
  }

  #content(): void {
    this.#start();
    this.#pieces++;
  }

  #takeProse(kind: 'text' | 'thinking', text: string): void {
    this.#content();
    this.#blocks.prose(kind, text);
    this.#sayBlocks();
  }

  #takeReasoning(text: string): void {
    const { thinking } = this.#context;
    if (thinking === 'hidden') this.#content();
    else this.#takeProse('thinking', thinking === 'omitted' ? '' : text);
  }

  #takeComment(text: string): void {
    if (OWN_COMMENT.test(text)) this.#out += `: ${text}\n\n`;
    else this.#say({ type: 'ping' });
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    const message = messageObject({
      id: this.#messageId,
      model: this.#context.model,
      content: [],
      stop: NO_STOP,
      usage: { ...this.#usageSoFar(), completionTokens: 0 },
    });
    this.#say({ type: 'message_start', message });
    this.#say({ type: 'ping' });
  }

  /** Of the engine, or else what was counted here. */
  #usageSoFar(): CanonicalUsage {
    return (
      this.#usage ?? {
        promptTokens: 0,
        completionTokens: this.#pieces,
        cachedTokens: 0,
        reasoningTokens: null,
      }
    );
  }

  #complete(): void {
    this.#start();
    const { reason, stopSequence } = this.#finish ?? { reason: 'stop', stopSequence: null };
    const stop = stopOf({
      reason,
      stopSequence,
      stopSequences: this.#context.stopSequences,
      calledTools: this.#blocks.calledTools,
      refused: this.#refused,
    });
    if (stop === null) throw brokenOff(reason);
    this.#blocks.finish(reason === 'length');
    this.#sayBlocks();
    this.#say({ type: 'message_delta', delta: stop, usage: deltaUsage(this.#usageSoFar()) });
    this.#say({ type: 'message_stop' });
    this.#over = true;
  }

  #failBy(error: PlatformError): void {
    this.failure = error;
    const { message } = openAiErrorFrom(error).error;
    this.#fail({ message, code: error.code, type: null, status: error.spec.status });
  }

  #fail(error: CanonicalError): void {
    this.#sayBlocks();
    this.#say({ ...errorObject(error, this.#context.requestId) });
    this.#over = true;
  }

  #sayBlocks(): void {
    for (const event of this.#blocks.take()) this.#say({ ...event });
  }

  #say(event: { type: string; [field: string]: unknown }): void {
    this.#out += `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
  }

  #said(): string {
    const out = this.#out;
    this.#out = '';
    return out;
  }
}
