/**
 * The usual way of an attempt: bytes of the engine go to the client untouched, event by event, or as one answer.
 * Only what decides the end is looked at: the first events, errors at the start of a read, and [DONE].
 */
import type { AttemptFailure } from '../../contract/facts.ts';
import { allFinished, parseChunk } from '../../wire/openai/delivered-stream.ts';
import { isRecord } from '../../wire/openai/envelope.ts';
import { SseFrameSplitter } from '../../wire/sse/frame-splitter.ts';
import { parseSseEvents } from '../../wire/sse/parse-event.ts';
import type { Attempt, AttemptEvents, ResponseHeaders } from './attempt.ts';
import type { AttemptEnd, StreamRun } from './stream-run.ts';

/** A unary answer is held until it is whole, so that a death in the middle can be retried; larger ones are refused. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

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
  #over = false;

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
      onFailure: (failure, detail) => this.#end({ kind: 'failed', failure, detail, answer: null }),
    };
  }

  #onHead(status: number, headers: ResponseHeaders): void {
    this.#status = status;
    this.#headers = headers;
    const type = String(headers['content-type'] ?? '');
    if (this.#run.envelope.stream && status === 200 && type.startsWith('text/event-stream'))
      this.#splitter = new SseFrameSplitter();
  }

  #onData(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#splitter === null) return this.#collect(chunk);
    let frames: Buffer | null;
    try {
      frames = this.#splitter.push(chunk);
    } catch (error) {
      return this.#abort('engine-error', (error as Error).message);
    }
    if (frames === null) return;
    const { stream, context } = this.#run;
    const now = context.clock.monotonicMs();
    if (beginsWithError(frames)) return this.#onErrorEvent(frames, now);
    if (stream.committed) {
      stream.deliver(frames, now);
    } else if (stream.offer(frames, now)) {
      this.#attempt().contentSeen();
      this.#run.noteFirstToken();
    }
    if (endsWithDone(frames)) {
      this.#run.countUsage(frames);
      stream.end();
      this.#end({ kind: 'streamed' });
    }
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
    const { stream } = this.#run;
    // A clean end without [DONE] is a lost connection, unless every choice had said that it was finished.
    if (stream.committed && !stream.log.overflowed && allFinished(stream.log.read())) {
      stream.end();
      return this.#end({ kind: 'streamed' });
    }
    const failure: AttemptFailure = stream.committed ? 'connection-lost' : 'empty-response';
    this.#end({ kind: 'failed', failure, detail: 'the stream ended without [DONE]', answer: null });
  }

  #onWholeAnswer(): void {
    const answer = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#body) };
    if (this.#status === 200 && answer.body.length === 0) {
      return this.#end({
        kind: 'failed',
        failure: 'empty-response',
        detail: 'status 200 with an empty body',
        answer: null,
      });
    }
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

const ERROR_PREFIXES = ['data: {"error"', 'data:{"error"', 'event: error'].map((text) => Buffer.from(text));

/** An engine that reports an error inside its stream: looked for at the start of a read only, where engines put it. */
function beginsWithError(frames: Buffer): boolean {
  const first = frames[0];
  if (first !== 0x64 && first !== 0x65) return false;
  return ERROR_PREFIXES.some(
    (prefix) => frames.length >= prefix.length && prefix.compare(frames, 0, prefix.length) === 0,
  );
}

function isCallersError(frames: Buffer): boolean {
  const [event] = parseSseEvents(frames.toString('utf8'));
  const error = event === undefined ? undefined : parseChunk(event.data)?.error;
  const status = isRecord(error) ? Number(error.code ?? error.status_code) : Number.NaN;
  return status >= 400 && status < 500 && status !== 429;
}

const DONE = Buffer.from('[DONE]');

export function endsWithDone(frames: Buffer): boolean {
  return frames.length >= 12 && frames.indexOf(DONE, frames.length - 12) >= 0;
}

/** Answers that another replica may do better. What the client did wrong (4xx) is passed on and held against nobody. */
function isEngineFault(status: number): boolean {
  return status === 500 || status === 502 || status === 503 || status === 504 || status === 429;
}
