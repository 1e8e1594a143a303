/**
 * The usual way of an attempt: bytes of the engine go to the client untouched, event by event, or as one answer.
 * Only what decides the end is looked at: the first events, errors at the start of a read, and [DONE].
 */
import type { AttemptFailure } from '../../contract/facts.ts';
import { isRecord } from '../../wire/json/parse-object.ts';
import { numberFrom, textFrom } from '../../wire/json/scalars.ts';
import { choiceCountOf } from '../../wire/openai/continuation-request.ts';
import { allFinished, type Delivered, parseChunk } from '../../wire/openai/delivered-stream.ts';
import { SseFrameSplitter } from '../../wire/sse/frame-splitter.ts';
import { parseSseEvents, sseData } from '../../wire/sse/parse-event.ts';
import type { Attempt, AttemptEvents, ResponseHeaders } from './attempt.ts';
import type { AttemptEnd, EngineAnswer } from './attempt-end.ts';
import type { Watched } from './deadline-sweep.ts';
import type { StreamRun } from './stream-run.ts';

/** A unary answer is held until it is whole, so that a death in the middle can be retried; larger ones are refused. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

/** After [DONE] an engine has so long to end its answer. */
const AFTER_DONE_MS = 1_000;

export class DirectRelay {
  readonly #run: StreamRun;
  readonly #attempt: () => Attempt;
  readonly #settle: (end: AttemptEnd) => void;
  #status = 0;
  #headers: ResponseHeaders = {};
  /** Null while the answer is not an event stream. */
  #splitter: SseFrameSplitter | null = null;
  readonly #body: Buffer[] = [];
  #bodyBytes = 0;
  /** The read before the present one. */
  #previous: Buffer | null = null;
  #over = false;
  /** Set from [DONE] on. */
  #afterDone: Watched | null = null;

  constructor(run: StreamRun, attempt: () => Attempt, settle: (end: AttemptEnd) => void) {
    this.#run = run;
    this.#attempt = attempt;
    this.#settle = settle;
  }

  events(): AttemptEvents {
    return {
      onHead: (status, headers) => this.#onHead(status, headers),
      onData: (chunk) => this.#onData(chunk),
      onEnd: () => this.#onEnd(),
      onFailure: (failure, detail) =>
        this.#afterDone === null
          ? this.#end({ kind: 'failed', failure, detail, answer: null })
          : this.#endDone(),
    };
  }

  #onHead(status: number, headers: ResponseHeaders): void {
    this.#status = status;
    this.#headers = headers;
    const encoding = headers['content-encoding'] ?? 'identity';
    // Nobody could read it: no client of ours was asked what it understands.
    if (encoding !== 'identity')
      return this.#abort(
        'engine-error',
        `the answer has content-encoding ${encoding}, which was not asked for`,
      );
    const type = typeOf(headers);
    if (this.#run.envelope.stream && status === 200 && type.startsWith('text/event-stream'))
      this.#splitter = new SseFrameSplitter();
  }

  #onData(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#afterDone !== null)
      return this.#run.stream.deliver(chunk, this.#run.context.clock.monotonicMs());
    if (this.#splitter === null) return this.#collect(chunk);
    let frames: Buffer | null;
    try {
      frames = this.#splitter.push(chunk);
    } catch (error) {
      return this.#abort('engine-error', (error as Error).message);
    }
    if (frames === null) return;
    const now = this.#run.context.clock.monotonicMs();
    const errorAt = errorEventAt(frames);
    if (errorAt > 0) this.#relay(frames.subarray(0, errorAt), now);
    if (errorAt >= 0) this.#onErrorEvent(frames.subarray(errorAt), now);
    else this.#relay(frames, now);
  }

  #relay(frames: Buffer, now: number): void {
    const { stream } = this.#run;
    if (stream.committed) {
      stream.deliver(frames, now);
    } else {
      const offered = stream.offer(frames, now);
      if (offered === 'empty') return this.#abort('empty-response', 'the stream ended with nothing in it');
      if (offered === 'unreadable')
        return this.#abort('engine-error', `no event of an answer: ${frames.toString('utf8', 0, 200)}`);
      if (offered === 'committed') {
        this.#attempt().contentSeen();
        this.#run.noteFirstToken();
      }
    }
    if (!endsWithDone(frames)) {
      this.#previous = frames;
    } else {
      // The usage event comes right before [DONE], often in a read of its own.
      this.#run.countUsage(this.#previous === null ? frames : Buffer.concat([this.#previous, frames]));
      this.#waitForTheEnd(now);
    }
  }

  /** What an engine sends behind [DONE], a comment or half a line end, still belongs to its stream. */
  #waitForTheEnd(nowMs: number): void {
    const { sweep } = this.#run.context;
    const wait: Watched = {
      listAt: -1,
      onSweep: (laterMs) => {
        if (laterMs - nowMs <= AFTER_DONE_MS) return;
        this.#attempt().abort();
        this.#endDone();
      },
    };
    this.#afterDone = wait;
    const begun = this.#splitter?.flush() ?? null;
    if (begun !== null) this.#run.stream.deliver(begun, nowMs);
    sweep.add(wait);
  }

  #endDone(): void {
    if (this.#afterDone !== null) this.#run.context.sweep.remove(this.#afterDone);
    if (this.#over) return;
    this.#run.stream.end();
    this.#end({ kind: 'streamed' });
  }

  /** A 4xx inside the stream is the client's own and goes on to it; anything else is a failure of the engine. */
  #onErrorEvent(frames: Buffer, nowMs: number): void {
    if (!isCallersError(frames)) return this.#abort('engine-error', frames.toString('utf8', 0, 300));
    const { stream, record } = this.#run;
    if (stream.committed) stream.deliver(frames, nowMs);
    else stream.offer(frames, nowMs);
    record.errorCode = 'invalid_request';
    stream.end();
    this.#attempt().abort();
    this.#end({ kind: 'streamed' });
  }

  #collect(chunk: Buffer): void {
    if (this.#bodyBytes === 0) this.#attempt().contentSeen();
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes > ANSWER_BYTES_MAX)
      return this.#abort('engine-error', `an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    this.#body.push(chunk);
  }

  #onEnd(): void {
    if (this.#over) return;
    if (this.#splitter === null) return this.#onWholeAnswer();
    this.#relayRest(this.#splitter.flush());
    if (this.#afterDone !== null) return this.#endDone();
    const { stream } = this.#run;
    // A clean end without [DONE] is a lost connection, unless nothing was left to say but that.
    const delivered = stream.committed && !stream.log.overflowed ? stream.log.read() : null;
    if (delivered !== null && this.#isComplete(delivered)) {
      if (!delivered.done)
        stream.deliver(Buffer.from(sseData('[DONE]')), this.#run.context.clock.monotonicMs());
      stream.end();
      return this.#end({ kind: 'streamed' });
    }
    const failure: AttemptFailure = stream.committed ? 'connection-lost' : 'empty-response';
    this.#end({ kind: 'failed', failure, detail: 'the stream ended without [DONE]', answer: null });
  }

  /** Some engines leave out the empty line after their last event. Half of an event is not passed on. */
  #relayRest(rest: Buffer | null): void {
    if (rest === null) return;
    const now = this.#run.context.clock.monotonicMs();
    if (endsWithDone(rest)) return this.#relay(rest, now);
    const whole = Buffer.concat([rest, EVENT_END]);
    const events = parseSseEvents(whole.toString('utf8'));
    if (events.length > 0 && events.every(({ data }) => parseChunk(data) !== null)) this.#relay(whole, now);
  }

  #isComplete(delivered: Delivered): boolean {
    const { envelope } = this.#run;
    const usageMissing = envelope.includeUsage && delivered.usage === null;
    return delivered.done || (allFinished(delivered, choiceCountOf(envelope)) && !usageMissing);
  }

  #onWholeAnswer(): void {
    const answer = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#body) };
    const fault = noAnswer(answer);
    if (fault !== null) return this.#end({ kind: 'failed', ...fault, answer: null });
    if (isEngineFault(this.#status)) {
      return this.#end({ kind: 'failed', failure: 'engine-error', detail: `status ${this.#status}`, answer });
    }
    this.#end({ kind: 'answered', ...answer });
  }

  #abort(failure: AttemptFailure, detail: string): void {
    this.#attempt().abort();
    this.#end({ kind: 'failed', failure, detail, answer: null });
  }

  #end(end: AttemptEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#settle(end);
  }
}

const ERROR_EVENTS = ['data: {"error"', 'data:{"error"', 'event: error'].map((text) => ({
  first: Buffer.from(text),
  later: Buffer.from(`\n${text}`),
}));

/** Where an event begins that reports an error of the engine; -1 when there is none. Looks at event starts only, not at text. */
function errorEventAt(frames: Buffer): number {
  const first = frames[0];
  if ((first === 0x64 || first === 0x65) && ERROR_EVENTS.some((error) => beginsWith(frames, error.first)))
    return 0;
  // The usual read is one event of one line; only several can hide an error behind a token.
  if (frames.indexOf(LF) === frames.length - 2) return -1;
  for (const { later } of ERROR_EVENTS) {
    const at = frames.indexOf(later);
    if (at >= 0) return at + 1;
  }
  return -1;
}

const LF = 0x0a;
const EVENT_END = Buffer.from('\n\n');

function beginsWith(frames: Buffer, prefix: Buffer): boolean {
  return frames.length >= prefix.length && prefix.compare(frames, 0, prefix.length) === 0;
}

function isCallersError(frames: Buffer): boolean {
  const [event] = parseSseEvents(frames.toString('utf8'));
  const error = event === undefined ? undefined : parseChunk(event.data)?.error;
  if (!isRecord(error)) return false;
  // text-generation-inference says 422 of every error in a stream; only its message tells a bad request from a failure.
  if (error.http_status_code !== undefined) return /^Input validation error/.test(textFrom(error.message));
  const status = numberFrom(error.code ?? error.status_code);
  return status >= 400 && status < 500 && status !== 429;
}

const DONE_EVENT = /(?:^|[\r\n])data: ?\[DONE\][\r\n]*$/;

/** Whether the last event is [DONE]. Text that ends in "[DONE]" is followed by the rest of its JSON, so the line decides. */
function endsWithDone(frames: Buffer): boolean {
  let end = frames.length;
  while (end > 0 && (frames[end - 1] === 0x0a || frames[end - 1] === 0x0d)) end--;
  if (frames[end - 1] !== 0x5d) return false;
  return DONE_EVENT.test(frames.toString('latin1', Math.max(0, end - 16)));
}

/** What is neither an answer nor a refusal: only the shape is looked at, for the bytes go on as they are. */
function noAnswer({
  status,
  headers,
  body,
}: EngineAnswer): { failure: AttemptFailure; detail: string } | null {
  if (status >= 400 && status <= 599) return null;
  if (status >= 200 && status <= 299 && body.length === 0)
    return { failure: 'empty-response', detail: `status ${status} with an empty body` };
  if (status !== 200) return { failure: 'engine-error', detail: `status ${status}` };
  // Engines of all kinds forget the type, or say plain text; a page of whatever stands between is another matter.
  if (typeOf(headers).startsWith('text/') && !JSON_START.test(body.toString('latin1', 0, LOOKED_AT_BYTES)))
    return { failure: 'engine-error', detail: `status 200 with content-type ${typeOf(headers)}` };
  return null;
}

function typeOf(headers: ResponseHeaders): string {
  return String(headers['content-type'] ?? '').toLowerCase();
}

const JSON_START = /^\s*[[{]/;
const LOOKED_AT_BYTES = 64;

/** Answers that another replica may do better. What the client did wrong (4xx) is passed on and held against nobody. */
function isEngineFault(status: number): boolean {
  return ENGINE_FAULTS.has(status);
}

/** 424 is how text-generation-inference says that its model failed. */
const ENGINE_FAULTS: ReadonlySet<number> = new Set([424, 429, 500, 502, 503, 504]);
