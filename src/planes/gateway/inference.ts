/**
 * Serves one inference request from admission to its end: attempts, retries before the first content token, continuation
 * after it. Owner of the request from the moment its body is read until it is over; the plane settles the record then.
 *
 * The commit point is the first content token. Before it, a failed attempt is followed by another on any replica; after it,
 * the same stream goes on elsewhere (continue-stream.ts) or ends with a typed error.
 */
import { type ErrorCode, PlatformError } from '../../contract/errors.ts';
import type { AttemptFailure } from '../../contract/facts.ts';
import type { ReplicaView } from '../../contract/fleet.ts';
import type { HttpExchange } from '../../contract/ports/http-exchange.ts';
import { decideRetry, replicaDied } from '../../decide/scheduling/retry.ts';
import { addTopLevel, replaceTopLevel } from '../../wire/json/top-level-span.ts';
import type { Envelope } from '../../wire/openai/envelope.ts';
import { usageInTail } from '../../wire/openai/usage-tail.ts';
import { type Lease, poolName, runOf } from './admission.ts';
import { Attempt, type AttemptEvents, type ResponseHeaders } from './attempt.ts';
import { ClientStream } from './client-stream.ts';
import { continueStream } from './continue-stream.ts';
import type { Watched } from './deadline-sweep.ts';
import { DirectRelay } from './direct-relay.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { RequestRecord } from './request-record.ts';
import { answerHeaders, respondError } from './respond.ts';
import type { AttemptEnd, AttemptTarget, StreamRun } from './stream-run.ts';

const PATHS = {
  chat: '/v1/chat/completions',
  completions: '/v1/completions',
  embeddings: '/v1/embeddings',
} as const;
/** Times that one request follows an alias that is moved away from a model that goes. */
const MOVES_MAX = 3;

export class InferenceRun implements StreamRun, Watched {
  readonly context: GatewayContext;
  readonly exchange: HttpExchange;
  readonly envelope: Envelope;
  readonly record: RequestRecord;
  readonly stream: ClientStream;
  readonly deadlineMs: number;
  /** Runs of replicas that failed this request. */
  readonly failed: string[] = [];
  #cancelled = false;
  #cancelCurrent: (() => void) | null = null;
  #budgetedRetry = false;
  /** Set when the total limit has passed; the request ends with it. */
  #timeUp: PlatformError | null = null;
  /** The last byte of the answer was written. */
  #over = false;
  /** What the last sweep saw of the client's side, and when it last moved. */
  #pendingBytes = 0;
  #bytesSeen = 0;
  #movedMs: number;

  constructor(context: GatewayContext, exchange: HttpExchange, envelope: Envelope, record: RequestRecord) {
    this.context = context;
    this.exchange = exchange;
    this.envelope = envelope;
    this.record = record;
    this.#movedMs = record.startedMs;
    this.deadlineMs = record.startedMs + context.settings.totalTimeoutMs;
    this.stream = new ClientStream(exchange, context.settings.replayBytesMax, () => ({
      ...answerHeaders(record),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    }));
    exchange.onClientGone(() => this.#cancel());
    if (exchange.clientGone) this.#cancel();
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Runs to the end; never rejects. */
  async serve(): Promise<void> {
    const { context } = this;
    context.shared.addRequests(1);
    context.sweep.add(this);
    try {
      await this.#run();
    } catch (thrown) {
      this.#endWithError(PlatformError.from(thrown));
    }
    this.#over = true;
    // The answer is not over for us before the client has it: a slow reader stays under watch.
    await new Promise<void>((resolve) => this.exchange.onFinished(resolve));
    if (this.exchange.clientGone && this.record.outcome === 'completed') this.#endCancelled();
    context.sweep.remove(this);
    context.shared.addRequests(-1);
    if (this.#budgetedRetry) context.shared.addRetries(-1);
    this.record.bytesOut += this.stream.bytesOut;
  }

  onSweep(nowMs: number): void {
    const { writeStallTimeoutMs, totalTimeoutMs } = this.context.settings;
    if (this.#stuckForMs(nowMs) > writeStallTimeoutMs) {
      this.exchange.destroy();
    } else if (nowMs > this.deadlineMs && this.#timeUp === null && !this.#cancelled && !this.#over) {
      this.#timeUp = new PlatformError(
        'upstream_timeout',
        `the answer was not complete within ${totalTimeoutMs} ms`,
      );
      this.#cancelCurrent?.();
    }
  }

  /** How long the client has taken nothing of what waits for it. */
  #stuckForMs(nowMs: number): number {
    const { pendingBytes } = this.exchange;
    const moved =
      pendingBytes === 0 || pendingBytes < this.#pendingBytes || this.stream.bytesOut > this.#bytesSeen;
    this.#pendingBytes = pendingBytes;
    this.#bytesSeen = this.stream.bytesOut;
    if (moved) this.#movedMs = nowMs;
    return nowMs - this.#movedMs;
  }

  async #run(): Promise<void> {
    for (;;) {
      const lease = await this.acquire(this.failed, false);
      const end = await this.#firstAttempt(lease).finally(() => lease.release());
      if (end.kind === 'streamed') return this.#completed(200);
      if (end.kind === 'answered') return this.#answer(end);
      if (end.kind === 'cancelled') return this.#endCancelled();
      // The total limit is ours and says nothing about the replica.
      if (this.#timeUp !== null) throw this.#timeUp;
      this.reportFailure(lease, end.failure, end.answer?.status);
      if (this.stream.committed) {
        await continueStream(this, { lease, failure: end.failure, detail: end.detail });
        return;
      }
      this.stream.dropHeld();
      if (!this.#mayRetry(end.failure)) return this.#giveUp(end);
    }
  }

  /** A place on a replica; rejects when the client leaves or no place comes free in time. */
  async acquire(avoid: readonly string[], urgent: boolean): Promise<Lease> {
    const { record } = this;
    this.throwIfOver();
    const lease = await this.#lease(avoid, urgent);
    this.#cancelCurrent = null;
    record.queuedMs += lease.queuedMs;
    record.replica = lease.replica.view.id;
    if (this.#cancelled) {
      lease.release();
      this.throwIfOver();
    }
    return lease;
  }

  /**
   * From the model that the request was taken in for, also when its alias has moved meanwhile: an answer that has begun is not
   * continued by another model. One that has not begun follows its alias when the model is gone.
   */
  async #lease(avoid: readonly string[], urgent: boolean): Promise<Lease> {
    const { context, record, envelope, stream } = this;
    for (let turn = 0; ; turn++) {
      const deadlineMs = context.clock.monotonicMs() + context.settings.queueTimeoutMs;
      try {
        return await context.admission.acquire(
          {
            model: record.model ?? envelope.model,
            avoid,
            urgent,
            deadlineMs: Math.min(this.deadlineMs, deadlineMs),
          },
          (cancel) => {
            this.#cancelCurrent = cancel;
          },
        );
      } catch (thrown) {
        const pool = context.table.find(envelope.model);
        const isGone = PlatformError.from(thrown).code === 'model_not_found';
        if (!isGone || pool === undefined || stream.committed || turn === MOVES_MAX) throw thrown;
        record.model = poolName(pool);
      }
    }
  }

  throwIfOver(): void {
    if (this.#timeUp !== null) throw this.#timeUp;
    if (this.#cancelled) throw new PlatformError('client_closed', 'the client closed the connection');
  }

  /** Starts an attempt whose end is one value. `wire` connects its events; the client's departure ends it. */
  attempt(
    request: AttemptTarget,
    wire: (attempt: () => Attempt, settle: (end: AttemptEnd) => void) => AttemptEvents,
  ): Promise<AttemptEnd> {
    const { context, record, envelope } = this;
    record.attempts++;
    return new Promise((resolve) => {
      let attempt: Attempt | null = null;
      const settle = (end: AttemptEnd) => {
        this.#cancelCurrent = null;
        resolve(end);
      };
      const events = wire(() => attempt as Attempt, settle);
      attempt = new Attempt(
        context,
        {
          ...request,
          requestId: record.requestId,
          accept: envelope.stream ? 'text/event-stream' : 'application/json',
          traceparent: this.exchange.headers.traceparent,
        },
        events,
      );
      this.#cancelCurrent = () => {
        attempt?.abort();
        settle(
          this.#timeUp === null
            ? { kind: 'cancelled' }
            : { kind: 'failed', failure: 'stall-timeout', detail: this.#timeUp.message, answer: null },
        );
      };
      if (envelope.stream) this.stream.attach(attempt);
    });
  }

  #firstAttempt(lease: Lease): Promise<AttemptEnd> {
    const { envelope } = this;
    const { view } = lease.replica;
    const body = bodyFor(view, envelope);
    return this.attempt({ replica: lease.replica, path: PATHS[envelope.endpoint], body }, (attempt, settle) =>
      new DirectRelay(this, attempt, settle).events(),
    );
  }

  /** Tells the supervisor, and keeps the replica out of rotation for a moment when it seems dead. */
  reportFailure({ replica }: Lease, failure: AttemptFailure, status?: number): void {
    const { context, record } = this;
    this.failed.push(runOf(replica.view));
    // An engine that refuses work has the fewest requests in flight, and would be given all of it.
    if (replicaDied(failure) || status === 503) context.ejectBriefly(replica);
    context.countAttemptFailure(record.model ?? '', failure);
    context.report({
      type: 'attemptFailed',
      atMs: context.clock.wallMs(),
      replica: replica.view.id,
      generation: replica.view.generation,
      failure,
      requestId: record.requestId,
    });
  }

  #mayRetry(failure: AttemptFailure): boolean {
    const { context, record } = this;
    if (this.#cancelled || this.#timeUp !== null) return false;
    const decision = decideRetry({
      failure,
      attempts: record.attempts,
      retriesMax: context.settings.retryAttemptsMax,
      inFlight: context.shared.requests(),
      retriesInFlight: context.shared.retries(),
      budgetRatio: context.settings.retryBudgetRatio,
    });
    if (!decision.retry) return false;
    if (decision.budgeted && !this.#budgetedRetry) {
      this.#budgetedRetry = true;
      context.shared.addRetries(1);
    }
    return true;
  }

  /** Passes on the engine's own error when it gave one, else says what happened. */
  #giveUp(end: Extract<AttemptEnd, { kind: 'failed' }>): void {
    if (this.#timeUp !== null) return this.#endWithError(this.#timeUp);
    if (end.answer !== null && end.answer.status >= 400 && end.answer.body.length > 0)
      return this.#answer({ kind: 'answered', ...end.answer });
    if (end.failure === 'connect-refused') {
      const message = `model "${this.envelope.model}": nothing answers at its replicas (${end.detail})`;
      return this.#endWithError(new PlatformError('no_replica', message, { retryAfterS: 5 }));
    }
    const timeout =
      end.failure === 'first-token-timeout' ||
      end.failure === 'stall-timeout' ||
      end.failure === 'connect-timeout';
    this.#endWithError(
      new PlatformError(
        timeout ? 'upstream_timeout' : 'engine_failed',
        `model "${this.envelope.model}": ${this.record.attempts} attempts failed; the last: ${end.failure} (${end.detail})`,
        { retryAfterS: 1 },
      ),
    );
  }

  #answer({ status, headers, body }: Extract<AttemptEnd, { kind: 'answered' }>): void {
    const { record } = this;
    record.outcome = status < 400 ? 'completed' : 'failed-by-engine';
    record.status = status;
    record.bytesOut = body.length;
    if (status < 400) this.countUsage(body);
    this.exchange.send(status, { ...answerHeaders(record), ...passedOn(headers) }, body);
  }

  #completed(status: number): void {
    this.record.outcome = 'completed';
    this.record.status = status;
  }

  endCompleted(): void {
    this.stream.end();
    this.#completed(200);
  }

  #endCancelled(): void {
    this.record.outcome = 'cancelled-by-client';
    this.record.status = 499;
    this.record.errorCode = 'client_closed';
  }

  /** Ends a committed stream by tier D. */
  endInterrupted(error: PlatformError, usage: Record<string, unknown> | null): void {
    if (this.#cancelled) return this.#endCancelled();
    this.record.tier = 'D';
    this.record.outcome = 'failed-upstream';
    this.record.status = 200;
    this.record.errorCode = error.code;
    this.context.countContinuation('D');
    this.stream.fail(error, usage);
  }

  #endWithError(thrown: PlatformError): void {
    // A wait that our own limit ended reports the client's departure; the limit is the truth.
    const error = this.#timeUp !== null && !this.#cancelled ? this.#timeUp : thrown;
    if (this.#cancelled || error.code === 'client_closed') return this.#endCancelled();
    if (error.code === 'internal')
      this.context.logError('request failed by a bug', error, this.record.requestId);
    this.record.outcome = outcomeOf(error.code, this.record.attempts);
    this.record.errorCode = error.code;
    this.record.status = error.spec.status;
    if (this.stream.committed) this.stream.fail(error, null);
    else respondError(this.exchange, error, this.record, 'openai');
  }

  countUsage(tail: Buffer): void {
    const usage = usageInTail(tail);
    if (usage === null) return;
    this.record.promptTokens = usage.promptTokens;
    this.record.completionTokens = usage.completionTokens;
  }

  noteFirstToken(): void {
    this.record.firstTokenMs ??= this.context.clock.monotonicMs() - this.record.startedMs;
  }

  #cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#cancelCurrent?.();
  }
}

/** What the client sent, byte for byte, but for what the engine must be told otherwise. */
function bodyFor({ servedModel, fields = {} }: ReplicaView, { bytes, model }: Envelope): Buffer {
  const named = servedModel === model ? bytes : replaceTopLevel(bytes, 'model', servedModel);
  return addTopLevel(named, fields);
}

function passedOn(headers: ResponseHeaders): Record<string, string> {
  const passed: Record<string, string> = {
    'content-type': String(headers['content-type'] ?? 'application/json'),
  };
  for (const name of ['retry-after', 'retry-after-ms', 'x-should-retry']) {
    const value = headers[name];
    if (typeof value === 'string') passed[name] = value;
  }
  return passed;
}

function outcomeOf(code: ErrorCode, attempts: number): RequestRecord['outcome'] {
  switch (code) {
    case 'saturated':
      return 'rejected-saturated';
    case 'no_replica':
      return 'rejected-no-replica';
    case 'queue_timeout':
      return 'expired-in-queue';
    case 'engine_failed':
    case 'stream_interrupted':
    case 'upstream_timeout':
      return 'failed-upstream';
    case 'internal':
    case 'shutting_down':
      return 'failed-internal';
    default:
      return attempts === 0 ? 'rejected-invalid' : 'failed-by-engine';
  }
}
