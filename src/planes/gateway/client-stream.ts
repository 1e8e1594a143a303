/**
 * The client's side of a streamed answer, across all attempts that feed it. Holds events back until the first content token
 * (the commit point), remembers what was delivered, and holds a fast engine back while the client reads slowly.
 */
import type { PlatformError } from '../../contract/errors.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { carriesContent, parseChunk } from '../../wire/openai/delivered-stream.ts';
import { openAiErrorFrom } from '../../wire/openai/error-object.ts';
import { countDataLines, parseSseEvents, sseData } from '../../wire/sse/parse-event.ts';
import { DeliveredLog } from './delivered-log.ts';

export interface Pausable {
  pause(): void;
  resume(): void;
}

/** Events before the first content token that are held; a longer preamble is let through as it is. */
const HELD_BYTES_MAX = 65_536;

/**
 * What became of events before the commit: delivered with all that was held; held; or no answer at all, because the stream
 * ended before anything came (`empty`), or because they are not what an engine says (`unreadable`).
 */
export type Offered = 'committed' | 'held' | 'empty' | 'unreadable';

function foundIn(frames: Buffer): Offered {
  for (const { data } of parseSseEvents(frames.toString('utf8'))) {
    if (data === '[DONE]') return 'empty';
    const chunk = parseChunk(data);
    if (chunk === null && data !== '') return 'unreadable';
    if (chunk !== null && carriesContent(chunk)) return 'committed';
  }
  return 'held';
}

export class ClientStream {
  readonly #exchange: HttpExchange;
  readonly #headers: () => Record<string, string>;
  readonly log: DeliveredLog;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #opened = false;
  #committed = false;
  #source: Pausable | null = null;
  /** Monotonic time since which the client has not read; null while it keeps up. */
  blockedSinceMs: number | null = null;
  /** The client did not keep up at some time: how long the answer took says nothing about its engine. */
  wasBlocked = false;
  bytesOut = 0;
  /** Data lines delivered: about one per token, and a few more. */
  dataLines = 0;

  constructor(exchange: HttpExchange, replayBytesMax: number, headers: () => Record<string, string>) {
    this.#exchange = exchange;
    this.#headers = headers;
    this.log = new DeliveredLog(replayBytesMax);
  }

  /** The first content token is on its way to the client: from here on a stream is continued, not retried. */
  get committed(): boolean {
    return this.#committed;
  }

  /** The client has status 200 and the headers: from here on an error is an event of the stream. */
  get opened(): boolean {
    return this.#opened;
  }

  /** The attempt that is paused when the client reads slowly. */
  attach(source: Pausable): void {
    this.#source = source;
    if (this.blockedSinceMs !== null) source.pause();
  }

  /** A failed attempt's preamble is forgotten; the next attempt brings its own. */
  dropHeld(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Whole events of an attempt, before the commit. */
  offer(frames: Buffer, nowMs: number): Offered {
    this.#held.push(frames);
    this.#heldBytes += frames.length;
    const found = foundIn(frames);
    if (found === 'empty' || found === 'unreadable') return found;
    if (found === 'held' && this.#heldBytes <= HELD_BYTES_MAX) return found;
    const all = this.#held.length === 1 ? frames : Buffer.concat(this.#held);
    this.dropHeld();
    this.#committed = true;
    this.#open();
    this.deliver(all, nowMs);
    return 'committed';
  }

  /** Whole events, after the commit. */
  deliver(frames: Buffer, nowMs: number): void {
    this.dataLines += countDataLines(frames);
    this.log.add(frames);
    this.#write(frames, nowMs);
  }

  /** Something for those who wait for a first byte: the headers, and a comment that SSE clients ignore. */
  keepAlive(nowMs: number): void {
    this.#open();
    this.comment('keep-alive', nowMs);
  }

  #open(): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#exchange.sendHead(200, this.#headers());
  }

  /** A comment: SSE clients ignore it, people and proxies may read it. */
  comment(text: string, nowMs: number): void {
    this.#write(Buffer.from(`: ${text}\n\n`), nowMs);
  }

  end(): void {
    this.#exchange.end();
    this.#letGo();
  }

  /** Ends an opened stream with a typed error, and without [DONE]. */
  fail(error: PlatformError, usage: Record<string, unknown> | null): void {
    this.failWith({ ...openAiErrorFrom(error), ...(usage !== null && { usage }) });
  }

  /** The same with an error object that came from an engine. */
  failWith(body: object): void {
    this.#exchange.end(sseData(body));
    this.#letGo();
  }

  /** After the end nothing more is written, and Node reports no drain: the attempt may read what is left of its answer. */
  #letGo(): void {
    this.#source?.resume();
    this.#source = null;
    this.blockedSinceMs = null;
  }

  #write(frames: Buffer, nowMs: number): void {
    this.bytesOut += frames.length;
    if (this.#exchange.write(frames) || this.blockedSinceMs !== null) return;
    this.blockedSinceMs = nowMs;
    this.wasBlocked = true;
    this.#source?.pause();
    this.#exchange.onDrain(() => {
      this.blockedSinceMs = null;
      this.#source?.resume();
    });
  }
}
