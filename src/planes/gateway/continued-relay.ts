/**
 * The way of a continuation's attempt: reads the events of the new replica, rewrites them into the stream that the client
 * already reads, and says which tier carried it.
 */
import type { ContinuationTier } from '../../contract/continuation.ts';
import type { ContinuedOutput, ContinuedStream } from '../../wire/openai/continued-stream.ts';
import { SseFrameSplitter } from '../../wire/sse/frame-splitter.ts';
import { sseData } from '../../wire/sse/parse-event.ts';
import type { Attempt, AttemptEvents, ResponseHeaders } from './attempt.ts';
import type { AttemptEnd } from './attempt-end.ts';
import type { StreamRun } from './stream-run.ts';

/** Of an answer that refuses the continuation, only so much is read. */
const REFUSAL_BYTES_MAX = 65_536;

export interface ContinuedRelayOptions {
  tier: Exclude<ContinuationTier, 'D'>;
  cutMs: number;
  from: string;
  to: string;
  continued: ContinuedStream;
}

export class ContinuedRelay {
  readonly #run: StreamRun;
  readonly #options: ContinuedRelayOptions;
  readonly #splitter = new SseFrameSplitter();
  #status = 0;
  #headers: ResponseHeaders = {};
  readonly #body: Buffer[] = [];
  #bodyBytes = 0;
  #over = false;
  /** New text has gone to the client. */
  delivering = false;
  /** Why the replica's answer could not be used. */
  refusal: string | null = null;

  constructor(run: StreamRun, options: ContinuedRelayOptions) {
    this.#run = run;
    this.#options = options;
  }

  events(attempt: () => Attempt, settle: (end: AttemptEnd) => void): AttemptEvents {
    const end = (value: AttemptEnd) => {
      if (this.#over) return;
      this.#over = true;
      settle(value);
    };
    const abort = (value: AttemptEnd) => {
      attempt().abort();
      end(value);
    };
    return {
      onHead: (status, headers) => {
        this.#status = status;
        this.#headers = headers;
      },
      onData: (chunk) => {
        if (this.#over) return;
        if (this.#status !== 200) {
          this.#bodyBytes += chunk.length;
          if (this.#bodyBytes <= REFUSAL_BYTES_MAX) this.#body.push(chunk);
          return;
        }
        try {
          const frames = this.#splitter.push(chunk);
          if (frames !== null) this.#take(this.#options.continued.push(frames), attempt, abort, end);
        } catch (error) {
          abort({ kind: 'failed', failure: 'engine-error', detail: (error as Error).message, answer: null });
        }
      },
      onEnd: () => {
        if (this.#over) return;
        if (this.#status !== 200) {
          const answer = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#body) };
          if (this.#status >= 500 || this.#status === 429) {
            end({ kind: 'failed', failure: 'engine-error', detail: `status ${this.#status}`, answer });
          } else {
            end({ kind: 'answered', ...answer });
          }
        } else if (this.#options.continued.finished) {
          this.#run.stream.deliver(Buffer.from(sseData('[DONE]')), this.#now());
          end({ kind: 'streamed' });
        } else {
          end({
            kind: 'failed',
            failure: 'connection-lost',
            detail: 'the stream ended without [DONE]',
            answer: null,
          });
        }
      },
      onFailure: (failure, detail) => end({ kind: 'failed', failure, detail, answer: null }),
    };
  }

  #take(
    output: ContinuedOutput,
    attempt: () => Attempt,
    abort: (end: AttemptEnd) => void,
    end: (end: AttemptEnd) => void,
  ): void {
    if (output.kind === 'diverged') {
      this.refusal = output.detail;
      return abort({ kind: 'answered', status: 200, headers: {}, body: Buffer.alloc(0) });
    }
    if (output.kind === 'engine-error') {
      return abort({ kind: 'failed', failure: 'engine-error', detail: output.detail, answer: null });
    }
    this.#deliver(output.data, attempt);
    if (output.kind === 'stopped') {
      this.#run.stream.deliver(Buffer.from(sseData('[DONE]')), this.#now());
      return abort({ kind: 'streamed' });
    }
    if (output.finished) end({ kind: 'streamed' });
  }

  #deliver(data: string[], attempt: () => Attempt): void {
    if (data.length === 0) return;
    if (!this.delivering) {
      this.delivering = true;
      attempt().contentSeen();
      this.#run.noteFirstToken();
      this.#announce();
    }
    const frames = Buffer.from(data.map((item) => sseData(item)).join(''));
    this.#run.countUsage(frames);
    this.#run.stream.deliver(frames, this.#now());
  }

  #announce(): void {
    const { context, record, stream } = this.#run;
    const { tier, cutMs, from, to } = this.#options;
    const gapMs = this.#now() - cutMs;
    record.tier = tier;
    record.continuationGapMs = Math.max(record.continuationGapMs ?? 0, gapMs);
    context.countContinuation(tier, gapMs);
    context.report({
      type: 'streamContinued',
      atMs: context.clock.wallMs(),
      from,
      to,
      tier,
      requestId: record.requestId,
      gapMs,
    });
    stream.comment(`x-autoglm-continuation: tier=${tier} gap_ms=${Math.round(gapMs)}`, this.#now());
  }

  #now(): number {
    return this.#run.context.clock.monotonicMs();
  }
}
