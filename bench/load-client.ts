/**
 * The load client: sends OpenAI-style requests and records what a client sees of each (text, time to first token, gaps,
 * errors by class). Closed loop (so many at once) or open loop (so many a second). Used by the bench and by tests.
 * Every request is recorded exactly once, also those that fail; nothing is retried, so a failure is never hidden.
 */
import { Pool } from 'undici';
import { type AnswerReading, emptyReading, readJson, type Usage } from './answer-reading.ts';
import { SseReader } from './sse-reader.ts';

/** Closed vocabulary of what went wrong; `http-NNN` for statuses. */
export type LoadErrorClass =
  | 'connect-failed'
  | 'connection-lost'
  | 'timeout'
  | 'aborted'
  | 'invalid-answer'
  /** The stream carried an error event. */
  | 'stream-error'
  /** The stream ended without `[DONE]` or without a finish reason. */
  | 'stream-truncated'
  | 'empty-answer'
  | `http-${number}`;

export interface LoadError {
  class: LoadErrorClass;
  message: string;
}

export interface RequestRecord {
  index: number;
  /** 0 when no answer came. */
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** The whole text; empty with `keep: 'timing'`. */
  text: string;
  /** Usage's completion tokens where the answer has usage, else the content events counted. */
  tokens: number;
  tokenIds: number[];
  /** Stream events with content. */
  events: number;
  finishReason: string | null;
  usage: Usage | null;
  error: LoadError | null;
  /** From sending to the first content; null when none came. */
  ttftMs: number | null;
  /** Between reads that brought content. */
  gapsMs: number[];
  totalMs: number;
  /** Moment of sending, on the monotonic clock of this process. */
  startedAtMs: number;
}

export interface LoadOptions {
  /** Full URL of the endpoint, such as `http://127.0.0.1:8080/v1/chat/completions`. */
  url: string;
  /** How many to send in all. */
  requests: number;
  /** Closed loop: at most so many in flight. In the open loop it bounds connections; an arrival beyond it waits. */
  concurrency: number;
  stream: boolean;
  /** The body of request `index`; `stream` is added to an object, bytes are sent as they are. */
  body: (index: number) => object | Uint8Array;
  headers?: Record<string, string>;
  /** Ends all requests; those in flight are recorded as `aborted`. */
  signal?: AbortSignal;
  /** Open loop: arrivals per second, evenly spaced. */
  ratePerSecond?: number;
  /** Starts nothing after this span. */
  durationMs?: number;
  /** Starts nothing once it is aborted; what is in flight goes on to its end. */
  enough?: AbortSignal;
  /** Longest life of one request. Default 120 000. */
  requestTimeoutMs?: number;
  /** `full` (default) parses each event; `timing` only counts them, at a tenth of the cost. */
  keep?: 'full' | 'timing';
  /** Called after each read that brought content, with the events so far; for tests that act in the middle of streams. */
  onProgress?: (index: number, events: number) => void;
}

export interface LoadResult {
  /** In the order of `index`. */
  records: RequestRecord[];
  elapsedMs: number;
}

export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const url = new URL(options.url);
  const pool = new Pool(url.origin, {
    connections: options.concurrency,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const startedAtMs = performance.now();
  try {
    const send = (index: number) => sendOne(pool, `${url.pathname}${url.search}`, index, options);
    const records =
      options.ratePerSecond === undefined
        ? await closedLoop(options, startedAtMs, send)
        : await openLoop(options, options.ratePerSecond, startedAtMs, send);
    records.sort((a, b) => a.index - b.index);
    return { records, elapsedMs: performance.now() - startedAtMs };
  } finally {
    await pool.destroy();
  }
}

type Send = (index: number) => Promise<RequestRecord>;

function mayStart(options: LoadOptions, index: number, startedAtMs: number): boolean {
  if (index >= options.requests || options.signal?.aborted || options.enough?.aborted) return false;
  return options.durationMs === undefined || performance.now() - startedAtMs < options.durationMs;
}

async function closedLoop(options: LoadOptions, startedAtMs: number, send: Send): Promise<RequestRecord[]> {
  const records: RequestRecord[] = [];
  let next = 0;
  const lane = async () => {
    while (mayStart(options, next, startedAtMs)) {
      records.push(await send(next++));
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.concurrency, options.requests) }, lane));
  return records;
}

async function openLoop(
  options: LoadOptions,
  ratePerSecond: number,
  startedAtMs: number,
  send: Send,
): Promise<RequestRecord[]> {
  const sent: Promise<RequestRecord>[] = [];
  while (mayStart(options, sent.length, startedAtMs)) {
    const dueMs = startedAtMs + (sent.length * 1000) / ratePerSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    else sent.push(send(sent.length));
  }
  return Promise.all(sent);
}

function encodeBody(options: LoadOptions, index: number): Uint8Array | string {
  const body = options.body(index);
  return body instanceof Uint8Array ? body : JSON.stringify({ ...body, stream: options.stream });
}

function sendOne(pool: Pool, path: string, index: number, options: LoadOptions): Promise<RequestRecord> {
  const recording = new Recording(index, options);
  return new Promise((resolve) => {
    let abort: (() => void) | undefined;
    const finish = (error: LoadError | null) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      const record = recording.finish(error);
      if (record !== null) resolve(record);
      abort?.();
    };
    const onAbort = () => finish({ class: 'aborted', message: 'ended by the signal of the load' });
    const timeoutMs = options.requestTimeoutMs ?? 120_000;
    const timer = setTimeout(
      () => finish({ class: 'timeout', message: `no end of the answer after ${timeoutMs} ms` }),
      timeoutMs,
    );
    options.signal?.addEventListener('abort', onAbort, { once: true });
    pool.dispatch(
      {
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json', ...options.headers },
        body: encodeBody(options, index),
      },
      {
        onRequestStart(controller) {
          if (recording.finished) return controller.abort(new Error('finished'));
          abort = () => {
            if (!controller.aborted) controller.abort(new Error('finished'));
          };
        },
        onResponseStart(_controller, status, headers) {
          recording.head(status, headers);
        },
        onResponseData(_controller, chunk) {
          recording.data(chunk);
        },
        onResponseEnd() {
          abort = undefined;
          finish(recording.verdict());
        },
        onResponseError(_controller, error) {
          abort = undefined;
          finish(classify(error, recording.status));
        },
      },
    );
  });
}

function classify(error: unknown, status: number): LoadError {
  const code = (error as { code?: string }).code ?? '';
  const message = `${code} ${error instanceof Error ? error.message : String(error)}`.trim();
  const beforeConnect = /ECONNREFUSED|ENOTFOUND|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT/.test(code);
  return { class: status === 0 && beforeConnect ? 'connect-failed' : 'connection-lost', message };
}

/** The growing record of one request. */
class Recording {
  readonly #index: number;
  readonly #parse: boolean;
  readonly #onProgress: LoadOptions['onProgress'];
  readonly #reading: AnswerReading = emptyReading();
  readonly #startedAtMs = performance.now();
  readonly #gapsMs: number[] = [];
  readonly #body: Buffer[] = [];
  #sse: SseReader | null = null;
  #headers: RequestRecord['headers'] = {};
  #ttftMs: number | null = null;
  #lastContentAtMs = 0;
  #events = 0;
  #sawDone = false;
  #invalid: string | null = null;
  status = 0;
  finished = false;

  constructor(index: number, options: LoadOptions) {
    this.#index = index;
    this.#parse = options.keep !== 'timing';
    this.#onProgress = options.onProgress;
  }

  head(status: number, headers: RequestRecord['headers']): void {
    this.status = status;
    this.#headers = headers;
    if (String(headers['content-type'] ?? '').startsWith('text/event-stream')) {
      this.#sse = new SseReader((data) => this.#event(data));
    }
  }

  data(chunk: Buffer): void {
    if (this.#sse === null) {
      this.#ttftMs ??= performance.now() - this.#startedAtMs;
      if (this.#parse || this.status !== 200) this.#body.push(chunk);
      else this.#events++;
      return;
    }
    const before = this.#events;
    this.#sse.push(chunk);
    if (this.#events === before) return;
    const atMs = performance.now();
    if (this.#ttftMs === null) this.#ttftMs = atMs - this.#startedAtMs;
    else this.#gapsMs.push(atMs - this.#lastContentAtMs);
    this.#lastContentAtMs = atMs;
    this.#onProgress?.(this.#index, this.#events);
  }

  #event(data: string): void {
    if (data === '[DONE]') {
      this.#sawDone = true;
      return;
    }
    if (!this.#parse) {
      this.#events++;
      return;
    }
    this.#read(data, () => this.#events++);
  }

  #read(json: string, onContent: () => void): void {
    try {
      if (readJson(this.#reading, json)) onContent();
    } catch {
      this.#invalid ??= `not JSON: ${json.slice(0, 120)}`;
    }
  }

  /** What is wrong with an answer that ended by itself; null when nothing is. */
  verdict(): LoadError | null {
    if (this.#sse === null && this.#body.length > 0) {
      this.#read(Buffer.concat(this.#body).toString(), () => this.#events++);
    }
    const reading = this.#reading;
    if (this.status !== 200) {
      return { class: `http-${this.status}`, message: reading.errorMessage ?? `status ${this.status}` };
    }
    if (this.#invalid !== null) return { class: 'invalid-answer', message: this.#invalid };
    if (reading.errorMessage !== null) return { class: 'stream-error', message: reading.errorMessage };
    if (this.#sse === null) {
      const empty = this.#events === 0 && this.#body.length === 0;
      return empty ? { class: 'empty-answer', message: '200 without a body' } : null;
    }
    if (!this.#sawDone) return { class: 'stream-truncated', message: 'the stream ended without [DONE]' };
    if (this.#parse && reading.finishReason === null) {
      return { class: 'stream-truncated', message: 'the stream ended without a finish reason' };
    }
    return null;
  }

  /** The record, once; null when it was given out before. */
  finish(error: LoadError | null): RequestRecord | null {
    if (this.finished) return null;
    this.finished = true;
    const { text, tokenIds, finishReason, usage } = this.#reading;
    return {
      index: this.#index,
      status: this.status,
      headers: this.#headers,
      text,
      tokens: usage?.completion_tokens ?? this.#events,
      tokenIds,
      events: this.#events,
      finishReason,
      usage,
      error,
      ttftMs: this.#ttftMs,
      gapsMs: this.#gapsMs,
      totalMs: performance.now() - this.#startedAtMs,
      startedAtMs: this.#startedAtMs,
    };
  }
}
